/** The gateway Worker's entry. */
import { createGateway } from './app.ts'

export default createGateway()
