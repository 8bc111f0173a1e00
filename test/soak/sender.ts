/**
 * A sender of webhooks: at a steady rate, signed again for every attempt, and retried with growing pauses until accepted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import type { SentEvent } from './stream.ts'

/** As vendors do: no answer by then counts as a failure. */
const TIMEOUT_MS = 15_000
const FIRST_PAUSE_MS = 500
const MAX_PAUSE_MS = 8_000
/** Requests at the same time. */
const MAX_IN_FLIGHT = 200
/** An event that is not taken for that long is given up. */
const GIVE_UP_AFTER_MS = 300_000

/** Where events go. */
export interface Endpoint {
  readonly url: string
  readonly secret: string
}

export interface SenderOptions extends Endpoint {
  /** Deliveries a second. */
  readonly rate: number
  /** Ends it early. */
  readonly signal: AbortSignal
  readonly onProgress: (report: Report) => void
}

export interface Report {
  /** Deliveries that were begun, and those that were taken. */
  sent: number
  accepted: number
  readonly ids: Set<string>
  retries: number
  duplicates: number
  inFlight: number
  readonly givenUp: string[]
  /** What was answered instead of taking it. */
  readonly refused: Map<string, number>
  /** Milliseconds of the attempt that was taken, and from the first attempt to it. */
  readonly latencies: number[]
  readonly totals: number[]
  /** Epoch milliseconds. */
  readonly startedAt: number
  lastAcceptedAt: number
  /** Milliseconds in which every delivery was begun. */
  sending: number
}

export async function sendAll(deliveries: readonly SentEvent[], options: SenderOptions): Promise<Report> {
  const startedAt = Date.now()
  const report: Report = {
    ...{ sent: 0, accepted: 0, ids: new Set(), retries: 0, duplicates: 0, inFlight: 0, givenUp: [] },
    ...{ refused: new Map(), latencies: [], totals: [], startedAt, lastAcceptedAt: startedAt, sending: 0 },
  }
  const progress = setInterval(() => options.onProgress(report), 5_000)
  const pending: Promise<void>[] = []
  const beginning = performance.now()
  options.signal.addEventListener('abort', () => clearInterval(progress))
  for (const [index, event] of deliveries.entries()) {
    if (options.signal.aborted) break
    const early = beginning + (index * 1000) / options.rate - performance.now()
    if (early > 1) await sleep(early)
    pending.push(deliver(event, options, report))
    report.sent++
  }
  report.sending = Date.now() - startedAt
  await Promise.all(pending)
  clearInterval(progress)
  return report
}

async function deliver(event: SentEvent, options: SenderOptions, report: Report): Promise<void> {
  const first = performance.now()
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    while (report.inFlight >= MAX_IN_FLIGHT) await sleep(5)
    const start = performance.now()
    report.inFlight++
    const answer = await attempt(event, options)
    report.inFlight--
    const end = performance.now()
    if (typeof answer === 'object') {
      report.accepted++
      if (answer.duplicate) report.duplicates++
      report.ids.add(event.id)
      report.latencies.push(end - start)
      report.totals.push(end - first)
      report.lastAcceptedAt = Date.now()
      return
    }
    if (options.signal.aborted) return
    report.refused.set(answer, (report.refused.get(answer) ?? 0) + 1)
    if (end - first > GIVE_UP_AFTER_MS) {
      report.givenUp.push(event.id)
      return
    }
    report.retries++
    await sleep(pause * (0.5 + Math.random()))
  }
}

/** @returns what was taken, or why not */
export async function attempt(
  { id, body }: SentEvent,
  { url, secret }: Endpoint,
): Promise<{ readonly duplicate: boolean } | string> {
  const at = new Date()
  try {
    const response = await fetch(`${url}/webhooks/standard`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': new Webhook(secret).sign(id, at, body),
      },
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const text = await response.text()
    if (response.ok) return JSON.parse(text)
    const code = /"code":"(\w+)"/.exec(text)?.[1]
    return code === undefined ? String(response.status) : `${response.status} ${code}`
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? 'timeout' : 'no connection'
  }
}
