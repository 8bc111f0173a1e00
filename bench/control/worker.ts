/** The control plane with one more route: raw `KV.put`, as many at a time as the publisher writes, to compare with. */
import worker, { Inbox, Publisher, Scheduler } from '../../src/control/worker.ts'

interface Environment {
  ENTITLEMENTS: { put(key: string, value: string): Promise<void> }
}

const GROUP = 100

export { Inbox, Publisher, Scheduler }

export default {
  ...worker,
  async fetch(request: Request, env: Environment, context: ExecutionContext): Promise<Response> {
    const url = new URL(request.url)
    if (url.pathname !== '/bench/put') return worker.fetch(request, env as never, context)
    const text = await request.text()
    const [first = 0, count = 0] = ['first', 'count'].map((name) => Number(url.searchParams.get(name)))
    for (let start = first; start < first + count; start += GROUP) {
      await Promise.all(
        Array.from({ length: GROUP }, (_, i) => env.ENTITLEMENTS.put(`raw:${start + i}`, text)),
      )
    }
    return new Response()
  },
}
