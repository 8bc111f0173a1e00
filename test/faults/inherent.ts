/**
 * Which faults no gateway can mend, and which points the suite must meet to be believed. Pure.
 *
 * An upstream that does not replay gives the next refresh token once. Where its answer never arrived whole, or the process
 * that alone had it is killed before it is stored, nobody has that token any more.
 */
import type { Point } from './instrument.ts'
import type { Plan } from './workers/plan.ts'

/** The awaits at which the answer is still on its way: after any of them nobody has it yet. */
const ON_ITS_WAY = /^await (fetcher|readBytes|message\.arrayBuffer|reader\.read)\(/
/** The awaits between the last byte of the answer and the store: a Worker that is killed at them had the only copy. */
const UNSTORED = /^await (send|seal|crypto\.subtle\.encrypt)\(/

/** Points that a refresh cannot do without. A path without them was not followed. */
const NAMED = ['await readBytes(', 'await seal(', 'await storage.put(', 'await storage.sync(']

export const isBeforeWhole = ({ id, text }: Point): boolean =>
  /^(http\/body|sessions\/send)\.ts:/.test(id) && ON_ITS_WAY.test(text)

const isUnstored = ({ id, text }: Point): boolean =>
  /^sessions\/(session|seal)\.ts:/.test(id) && UNSTORED.test(text)

/** Why a session that is lost here is lost for want of an upstream that replays; nothing where it must live. */
export function inherentIn(point: Point, mode: NonNullable<Plan['mode']>): string | undefined {
  if (isBeforeWhole(point)) return 'its answer never arrived whole'
  return mode === 'stops' && isUnstored(point) ? 'stopped between read and store' : undefined
}

/** Fails a suite that would be content with fewer points than there are. */
export function requireNamed(path: readonly Point[]): void {
  const missing = NAMED.filter((start) => !path.some(({ text }) => text.startsWith(start)))
  if (missing.length > 0) throw new Error(`not met, though every refresh passes them: ${missing.join(', ')}`)
}
