/**
 * The load generator: a fixed number of keep-alive connections, each sending its next request when the answer to the
 * last has arrived in full.
 *
 * It writes prepared bytes to sockets and reads just enough HTTP/1.1 to find the end of an answer, because it shares
 * the machine with what it measures: a general client costs as much per request as the Worker under test. Every status
 * is checked, and every `SAMPLE_EVERY`th body is kept for the caller to check in depth after the clock has stopped.
 */
import { connect, type Socket } from 'node:net'

const SAMPLE_EVERY = 250
const ANSWER_TIMEOUT_MS = 10_000
const HEAD_END = Buffer.from('\r\n\r\n')
const LAST_CHUNK = Buffer.from('0\r\n\r\n')

export interface Load {
  readonly port: number
  readonly connections: number
  /** Stop after this long, in seconds, or when `next` has nothing more. */
  readonly seconds: number
  readonly next: () => Buffer | undefined
  /** How long a connection rests after an answer, so that the load does not fill the machine. */
  readonly pauseMs?: number
  /** Is handed every body, where all of them count; it takes from the time of the load. */
  readonly onBody?: (body: string) => void
}

export interface LoadResult {
  readonly requests: number
  /** From the first request to the last answer. */
  readonly seconds: number
  readonly samples: readonly string[]
  /** From a request to the end of its answer, in the order of the answers. */
  readonly milliseconds: readonly number[]
}

/** A whole HTTP request, ready to be written. */
export function httpRequest(
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '',
): Buffer {
  const all: Record<string, string> = {
    Host: '127.0.0.1',
    Accept: 'application/json',
    'User-Agent': 'remint-bench',
    ...headers,
  }
  if (body !== '') all['Content-Length'] = String(Buffer.byteLength(body))
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

/** Repeats a list for ever. */
export function cycle(requests: readonly Buffer[]): () => Buffer | undefined {
  let index = 0
  return () => requests[index++ % requests.length]
}

/** Hands out each request of a list once. */
export function once(requests: readonly Buffer[]): () => Buffer | undefined {
  let index = 0
  return () => requests[index++]
}

/** Runs a load. Rejects on the first answer that is not 200, on a broken connection and on silence. */
export async function run(load: Load): Promise<LoadResult> {
  const samples: string[] = []
  const milliseconds: number[] = []
  let requests = 0
  const start = performance.now()
  const deadline = start + load.seconds * 1000
  const next = () => (performance.now() < deadline ? load.next() : undefined)
  const onAnswer: OnAnswer = (answer, head, took) => {
    milliseconds.push(took)
    const isSample = requests++ % SAMPLE_EVERY === 0
    if (!isSample && !load.onBody) return
    const body = bodyOf(answer, head)
    if (isSample) samples.push(body)
    load.onBody?.(body)
  }
  const connections = Array.from({ length: load.connections }, () => drive(load, next, onAnswer))
  await Promise.all(connections)
  return { requests, seconds: (performance.now() - start) / 1000, samples, milliseconds }
}

type OnAnswer = (answer: Buffer, head: number, milliseconds: number) => void

/** One connection, from its first request to its last answer. */
function drive({ port, pauseMs = 0 }: Load, next: Load['next'], onAnswer: OnAnswer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket: Socket = connect(port, '127.0.0.1')
  let received: Buffer | undefined
  let sentAt = 0

  const send = () => {
    const request = next()
    sentAt = performance.now()
    if (request !== undefined) return socket.write(request)
    socket.destroy()
    resolve()
  }
  const fail = (reason: string) => {
    socket.destroy()
    reject(new Error(`127.0.0.1:${port}: ${reason}`))
  }
  socket.setNoDelay(true)
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => fail('no answer'))
  socket.on('connect', send)
  socket.on('error', (error) => fail(error.message))
  socket.on('end', () => fail('the connection was closed'))
  socket.on('data', (chunk: Buffer) => {
    received = received === undefined ? chunk : Buffer.concat([received, chunk])
    const head = received.indexOf(HEAD_END)
    if (head < 0 || !isComplete(received, head)) return
    const status = received.toString('latin1', 9, 12)
    if (status !== '200') return fail(`${status} ${bodyOf(received, head).slice(0, 500)}`)
    onAnswer(received, head, performance.now() - sentAt)
    received = undefined
    if (pauseMs > 0) setTimeout(send, pauseMs)
    else send()
  })
  return promise
}

function isComplete(answer: Buffer, head: number): boolean {
  const length = contentLength(answer, head)
  const bodyStart = head + HEAD_END.length
  if (length !== undefined) return answer.length >= bodyStart + length
  return answer.length > bodyStart && answer.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)
}

function contentLength(answer: Buffer, head: number): number | undefined {
  const match = /\r\ncontent-length: *(\d+)/i.exec(answer.toString('latin1', 0, head))
  return match ? Number(match[1]) : undefined
}

/** The body as text; of a chunked one, the chunks joined. */
function bodyOf(answer: Buffer, head: number): string {
  const body = answer.subarray(head + HEAD_END.length)
  if (contentLength(answer, head) !== undefined) return body.toString()
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.toString('latin1', at, lineEnd), 16)
    if (!(size > 0)) return Buffer.concat(chunks).toString()
    chunks.push(body.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}
