/** The gateway Worker's entry: HTTP by default, and RPC for Workers that are bound to it. */
import { createApp } from './app.ts'
import { open } from './rpc.ts'

export { Verifier } from './rpc.ts'
export default createApp({}, open)
