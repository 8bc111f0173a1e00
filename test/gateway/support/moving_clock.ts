/** The gateway with a clock that stands still until a test, in another process, puts it forward: `PUT /__clock`, milliseconds. */
import { createGateway } from '../../../src/gateway/app.ts'

/** Outside of a request there is no time in workerd. */
let time: number | undefined
const now = (): number => {
  time ??= Date.now()
  return time
}
const gateway = createGateway({ now })

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== '/__clock') return gateway.fetch(request, env as object, ctx)
    time = now() + Number(await request.text())
    return new Response(null, { status: 204 })
  },
} satisfies ExportedHandler
