/**
 * The consumer of `npm run bench:mint-log`, with a real queue before it: half of its batches fail, some before anything of
 * them is stored and some after, so that all of them come again.
 *
 * The seam: to measure another consumer, import its `queue` handler as `consumer`, and `stored`, which lists the `jti` of every
 * row it has; its bindings go into `bench/mint_log.wrangler.toml`.
 */
import { type Batch, consumer, stored } from './mint_log_stub.ts'

interface Environment {
  MINT_LOG: { sendBatch(messages: { body: unknown; contentType: 'json' }[]): Promise<unknown> }
}

let batches = 0

export default {
  async fetch(request: Request, env: Environment): Promise<Response> {
    switch (new URL(request.url).pathname) {
      case '/send': {
        const events = (await request.json()) as unknown[]
        await env.MINT_LOG.sendBatch(events.map((body) => ({ body, contentType: 'json' })))
        return new Response()
      }
      case '/count':
        return Response.json({ rows: (await stored(env)).length, batches })
      default:
        return Response.json(await stored(env))
    }
  },

  async queue(batch: Batch, env: Environment, context: unknown): Promise<void> {
    const turn = batches++ % 4
    if (turn === 0) return batch.retryAll()
    if (turn !== 2) return consumer.queue(batch, env, context)
    await consumer.queue(unanswerable(batch), env, context)
    batch.retryAll()
  },
}

/** A batch whose consumer does its work and is not heard. */
function unanswerable({ queue, messages }: Batch): Batch {
  const unheard = () => {}
  const copies = messages.map((message) => ({
    ...{ id: (message as { id?: unknown }).id, timestamp: (message as { timestamp?: unknown }).timestamp },
    ...{ body: message.body, attempts: (message as { attempts?: unknown }).attempts },
    ...{ ack: unheard, retry: unheard },
  }))
  return { queue, messages: copies, ackAll: unheard, retryAll: unheard }
}
