/**
 * The consumer of `npm run bench:mint-log`, with a real queue before it and real D1 behind: half of its batches fail, some
 * before anything of them is stored and some after, so that all of them come again. What stores is the control plane's own.
 */
import { connect } from '../../src/control/db/client.ts'
import { writeFault } from '../../src/control/log.ts'
import { consumeMints, type MintBatch } from '../../src/control/mint_log/consume.ts'

interface Environment {
  readonly DB: D1Database
  readonly MINT_LOG: { sendBatch(messages: { body: unknown; contentType: 'json' }[]): Promise<unknown> }
}

const PAGE = 10_000

let batches = 0

export default {
  async fetch(request: Request, env: Environment): Promise<Response> {
    const url = new URL(request.url)
    switch (url.pathname) {
      case '/send': {
        const events = (await request.json()) as unknown[]
        await env.MINT_LOG.sendBatch(events.map((body) => ({ body, contentType: 'json' })))
        return new Response()
      }
      case '/count': {
        const rows = await env.DB.prepare('SELECT count(*) FROM mints').first('count(*)')
        return Response.json({ rows, batches })
      }
      case '/losses':
        return Response.json((await env.DB.prepare('SELECT * FROM mint_losses').all()).results)
      default: {
        const statement = env.DB.prepare('SELECT jti FROM mints WHERE jti > ? ORDER BY jti LIMIT ?')
        const { results } = await statement.bind(url.searchParams.get('after'), PAGE).all<{ jti: string }>()
        return Response.json(results.map(({ jti }) => jti))
      }
    }
  },

  async queue(batch: MintBatch, env: Environment): Promise<void> {
    const store = (batch: MintBatch) =>
      consumeMints(batch, { db: connect(env.DB).db, now: Date.now(), log: writeFault })
    const turn = batches++ % 4
    if (turn === 0) return batch.retryAll(AT_ONCE)
    if (turn !== 2) return store(batch)
    await store({ messages: batch.messages, ackAll: unheard, retryAll: unheard })
    batch.retryAll(AT_ONCE)
  },
}

const AT_ONCE = { delaySeconds: 0 }
/** The consumer does its work, and its answer is lost. */
const unheard = () => {}
