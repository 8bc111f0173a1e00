/** The gateway Worker's entries: HTTP by default, RPC for Workers that are bound to it, and its Durable Object's class. */
import { createApp } from './app.ts'
import { createRefreshSession } from './refresh_session.ts'
import { open } from './rpc.ts'

export { Verifier } from './rpc.ts'
export default createApp({}, open)

export const RefreshSession = createRefreshSession()
