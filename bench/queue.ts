/**
 * What stands for Cloudflare Queues while the bench runs, in a process of its own: `node queue.ts PORT`.
 *
 * It speaks the protocol of workerd's queue binding, of batches only, and keeps what it is sent. In production the queue is remote, and its
 * consumer another Worker: neither takes anything from the core that the gateway runs on.
 */
import { createServer } from 'node:http'

/** As many events as one answer brings. */
export const PAGE = 5_000

const METRICS = { backlogCount: 0, backlogBytes: 0, oldestMessageTimestamp: 0 }
const SENT = JSON.stringify({ metadata: { metrics: METRICS } })

function start(port: number): void {
  const events: string[] = []
  createServer((request, response) => {
    const answer = (status: number, body: string) =>
      response
        .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
        .end(body)
    const url = new URL(request.url ?? '/', 'http://queue')
    if (url.pathname === '/events') {
      const from = Number(url.searchParams.get('from'))
      return answer(200, `[${events.slice(from, from + PAGE).join(',')}]`)
    }
    if (url.pathname !== '/batch') return answer(400, '{}')
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      // Answered first, because the caller's waiting time is measured.
      answer(200, SENT)
      const { messages } = JSON.parse(body) as { messages: { body: string }[] }
      for (const { body } of messages) events.push(Buffer.from(body, 'base64').toString())
    })
  }).listen(port, '127.0.0.1')
}

if (import.meta.main) start(Number(process.argv[2]))
