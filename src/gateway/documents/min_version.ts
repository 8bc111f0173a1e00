/**
 * Waits a moment for documents that are at least as new as the client requires, so that customers who just paid see it with
 * the next click. Upstream has already accepted the refresh, so the wait always ends with a token.
 *
 * A version is the number of the last change of a document, out of one sequence for all documents. KV decides how soon a
 * change shows, and may take longer than the wait; the number of reads is limited.
 */
import type { SubjectIds } from '../../core/claims.ts'
import type { DocumentStore, Documents, OnFault } from './store.ts'

/** How long a person waits after a click, and a client in addition to upstream's time. */
const WAIT_MS = 3_000
/** The pauses between reads; the last one is the rest of the time. */
const PAUSES_MS = [100, 200, 400, 800, 1_200]

export interface Timing {
  readonly clock: () => number
  readonly pause?: (milliseconds: number) => Promise<unknown>
}

/**
 * Looks documents up until one of them has the version, with growing pauses, for three seconds at most.
 *
 * @param onFault - as for `lookup`; a fault is reported once, however often it occurs
 */
export async function lookupAtLeast(
  minVersion: number,
  store: DocumentStore,
  ids: SubjectIds,
  onFault: OnFault,
  { clock, pause = sleep }: Timing,
): Promise<Documents> {
  const startedAt = clock()
  const left = () => startedAt + WAIT_MS - clock()
  const once = reportOnce(onFault)
  let found = await store.lookup(ids, once)
  const wasInHand = readings(found).some(({ readAt }) => readAt < startedAt)
  for (const pauseMs of wasInHand ? [0, ...PAUSES_MS] : PAUSES_MS) {
    if (newestVersion(found) >= minVersion || left() <= pauseMs) break
    if (pauseMs > 0) await pause(pauseMs)
    found = await store.lookAgain(ids, once, left())
  }
  return found
}

/** The highest version that was read; 0 if there is none. */
export const newestVersion = (found: Documents): number =>
  Math.max(0, ...readings(found).map(({ document }) => document?.version ?? 0))

const readings = ({ catalog, org, user }: Documents) =>
  [catalog, org, user].filter((reading) => reading !== undefined)

function reportOnce(onFault: OnFault): OnFault {
  const reported = new Set<string>()
  return (fault, kind) => {
    const what = `${fault} ${kind}`
    if (!reported.has(what)) onFault(fault, kind)
    reported.add(what)
  }
}

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
