/**
 * The Worker that the tests run beside: the real classes, with upstream and the time in the hands of the test.
 *
 * A caller can hand a Durable Object nothing but values, so its edges are defined here.
 */
import { createGateway } from '../../../src/gateway/app.ts'
import { createRefreshSession } from '../../../src/gateway/refresh_session.ts'

export const edges: { fetch: typeof fetch; now: () => number } = {
  fetch: () => Promise.reject(new Error('no upstream was set up')),
  now: Date.now,
}

export const RefreshSession = createRefreshSession({
  fetch: (...args) => edges.fetch(...args),
  now: () => edges.now(),
})

export default createGateway()
