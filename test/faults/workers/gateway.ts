/** The gateway with a fault in it: the real entry, instrumented, behind a door at which the faults are planned. */
import worker, { RefreshSession } from '../../../src/gateway/worker.ts'
import { faulty } from './fault.ts'

export { RefreshSession }

export default faulty((request, env, ctx) => worker.fetch(request, env, ctx))
