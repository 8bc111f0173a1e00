/** The gateway Worker's entry: HTTP by default, and RPC for Workers that are bound to it. */
import { createGateway } from './app.ts'

export { Verifier } from './rpc.ts'
export default createGateway()
