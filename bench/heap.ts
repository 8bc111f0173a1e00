/**
 * The live heap of a workerd isolate, asked of V8's inspector after a full collection: what is still reachable, not
 * what the collector has yet to get around to. It is this that counts against an isolate's 128 MB.
 *
 * workerd runs the collection when the isolate next has something to do, so that it is nudged until it has answered.
 */
import { setTimeout as sleep } from 'node:timers/promises'

const NUDGE_EVERY_MS = 50
const ANSWER_TIMEOUT_MS = 30_000

interface Target {
  readonly webSocketDebuggerUrl: string
}

/** What `Runtime.getHeapUsage` answers, in bytes. */
interface HeapUsage {
  readonly usedSize: number
  /** Of the objects that stand for the Web's: headers, streams, keys. */
  readonly embedderHeapUsedSize: number
  /** Of array buffers. */
  readonly backingStorageSize: number
}

interface Answer {
  readonly id?: number
  readonly result: HeapUsage
}

/** @param nudge - makes the isolate run, with any request */
export async function heapBytes(inspectorPort: number, nudge: () => Promise<unknown>): Promise<number> {
  const targets = (await (await fetch(`http://127.0.0.1:${inspectorPort}/json`)).json()) as Target[]
  const url = targets[0]?.webSocketDebuggerUrl
  if (url === undefined) throw new Error('the inspector lists no isolate')
  const socket = new WebSocket(url)
  await new Promise((open, fail) => {
    socket.addEventListener('open', open, { once: true })
    socket.addEventListener('error', () => fail(new Error('the inspector refuses')), { once: true })
  })
  const answers = new Map<number, HeapUsage>()
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as Answer
    if (id !== undefined) answers.set(id, result)
  })
  const call = async (id: number, method: string): Promise<HeapUsage> => {
    socket.send(JSON.stringify({ id, method }))
    const deadline = performance.now() + ANSWER_TIMEOUT_MS
    while (performance.now() < deadline) {
      const result = answers.get(id)
      if (result !== undefined) return result
      await nudge()
      await sleep(NUDGE_EVERY_MS)
    }
    throw new Error(`${method}: no answer`)
  }
  await call(1, 'HeapProfiler.collectGarbage')
  const usage = await call(2, 'Runtime.getHeapUsage')
  socket.close()
  return usage.usedSize + usage.embedderHeapUsedSize + usage.backingStorageSize
}
