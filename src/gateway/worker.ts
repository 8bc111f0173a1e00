/** The gateway Worker's entry, and its Durable Object's class. */
import { createGateway } from './app.ts'
import { createRefreshSession } from './refresh_session.ts'

export default createGateway()

export const RefreshSession = createRefreshSession()
