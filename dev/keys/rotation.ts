/**
 * The life of a signing key as functions over a private JWK Set and `now`. Pure: no file, no clock, no randomness.
 *
 * A rotation publishes a key before it signs, and keeps publishing it after it stopped, because services downstream
 * hold copies of the key set. The set is exactly the gateway's `SIGNING_KEYS`: its first key signs access tokens, the
 * active key of another algorithm the ID tokens of clients that expect it, and all are published.
 * The times of the steps stand in extra members, which JWK readers ignore (RFC 7517 section 4); the price of keeping
 * no other record is that they tell when this tool ran, not when the secret was put.
 */
import type { JWK } from 'jose'

export const ALGORITHMS = ['ES256', 'RS256', 'EdDSA'] as const

export type Algorithm = (typeof ALGORITHMS)[number]

/** One key of the set. A key that no longer signs has only its public half. */
export interface SigningKey extends JWK {
  kty: string
  alg: Algorithm
  kid: string
  use: 'sig'
  /** When the key was made; RFC 3339 in UTC, like the other two. */
  created_at?: string
  /** When it began to sign. */
  promoted_at?: string
  /** When it stopped to sign and lost its private half. */
  retired_at?: string
}

export interface KeySet {
  keys: SigningKey[]
}

export type KeyState = 'active' | 'next' | 'retired'

/**
 * How long a service downstream may verify with a key set it fetched earlier: jose's `createRemoteJWKSet` keeps one
 * for 10 minutes, which covers the 300 seconds that the gateway's own `Cache-Control` allows.
 */
export const DOWNSTREAM_CACHE_SECONDS = 600

/** How long isolates that still hold the previous secret may go on serving after a new one was put. */
export const ROLLOUT_SECONDS = 60

/** How far a downstream's clock may lag and still accept a token that has expired. */
export const CLOCK_SKEW_SECONDS = 60

/** The gateway's default for `TOKEN_MAX_SECONDS`: how long a minted token lives at most. */
export const TOKEN_MAX_SECONDS = 300

/** Cloudflare takes secrets of at most 5 KB; a larger set could not be put. */
export const SECRET_MAX_BYTES = 5120

/** The gateway refuses longer sets. */
export const SET_MAX_KEYS = 8

export type Refusal =
  | { ok: false; reason: 'next_exists' | 'no_next' | 'same_algorithm' | 'nothing_retired' | 'too_many' }
  | { ok: false; reason: 'too_large'; bytes: number }
  | { ok: false; reason: 'too_early'; safeAt: Date }
  | { ok: false; reason: 'time_unknown' }

export type Transition<Extra = unknown> = ({ ok: true; set: KeySet } & Extra) | Refusal

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const

/** What a retired key keeps; a list of what may stay cannot forget a private member. */
const PUBLIC_MEMBERS = 'kty crv x y n e alg kid use created_at promoted_at'.split(' ') as (keyof SigningKey)[]

export const isPrivate = (key: JWK): boolean => PRIVATE_MEMBERS.some((member) => key[member] !== undefined)

/** The set as it is stored and put: compact, because size is what a secret is short of. */
export const serialize = (set: KeySet): string => `${JSON.stringify(set)}\n`

export const sizeBytes = (set: KeySet): number => Buffer.byteLength(serialize(set))

export function stateOf(set: KeySet, key: SigningKey): KeyState {
  if (key === set.keys[0]) return 'active'
  if (!isPrivate(key)) return 'retired'
  return key.promoted_at === undefined ? 'next' : 'active'
}

/** A set of first keys, one an algorithm, which sign at once: nobody can hold an older set. */
export function firstSet(keys: readonly SigningKey[], now: Date): Transition {
  return fitting({ keys: keys.map((key) => ({ ...key, promoted_at: timestamp(now) })) })
}

/** Publishes a key that does not sign yet. */
export function addNext(set: KeySet, key: SigningKey): Transition {
  if (nextOf(set)) return { ok: false, reason: 'next_exists' }
  if (set.keys.length >= SET_MAX_KEYS) return { ok: false, reason: 'too_many' }
  return fitting({ keys: [...set.keys, key] })
}

export interface PromoteOptions {
  /** Skip the wait, for a key that was stolen: downstreams with an old set refuse tokens until they refetch. */
  readonly force?: boolean | undefined
  /** Let a key of another algorithm sign ID tokens beside the first key, in place of none. */
  readonly beside?: boolean | undefined
}

/**
 * Lets the next key sign and takes the private half from the key in whose place it does: the active one of its algorithm,
 * or else the one that signs access tokens.
 */
export function promote(set: KeySet, now: Date, { force, beside }: PromoteOptions = {}): Transition {
  const next = nextOf(set)
  const replaced = next && replacedBy(set, next)
  if (!next || !replaced) return { ok: false, reason: 'no_next' }
  if (beside && replaced.alg === next.alg) return { ok: false, reason: 'same_algorithm' }
  const refusal = force ? undefined : notBefore(promoteSafeAt(next), now)
  if (refusal) return refusal
  const promoted = { ...next, promoted_at: timestamp(now) }
  const retired = { ...publicHalf(replaced), retired_at: timestamp(now) }
  const others = set.keys.filter((key) => key !== next)
  const active = others.filter((key) => stateOf(set, key) === 'active')
  const old = others.filter((key) => stateOf(set, key) === 'retired')
  const signing = beside ? [...active, promoted] : active.map((key) => (key === replaced ? promoted : key))
  return { ok: true, set: { keys: [...signing, ...(beside ? [] : [retired]), ...old] } }
}

/** In whose place the next key will sign. */
export const replacedBy = (set: KeySet, next: SigningKey): SigningKey | undefined =>
  set.keys.find((key) => stateOf(set, key) === 'active' && key.alg === next.alg) ?? set.keys[0]

/**
 * Drops every retired key whose last token has expired.
 *
 * @param force - drop them all now: tokens they signed are refused from then on
 */
export function retire(
  set: KeySet,
  now: Date,
  tokenMaxSeconds = TOKEN_MAX_SECONDS,
  force = false,
): Transition<{ dropped: string[] }> {
  const retired = set.keys.filter((key) => stateOf(set, key) === 'retired')
  if (retired.length === 0) return { ok: false, reason: 'nothing_retired' }
  const waits = retired.map((key) => notBefore(retireSafeAt(key, tokenMaxSeconds), now))
  const due = retired.filter((_, index) => force || !waits[index])
  if (due.length === 0) {
    const dated = waits.filter((wait) => wait?.reason === 'too_early')
    dated.sort((a, b) => a.safeAt.getTime() - b.safeAt.getTime())
    return dated[0] ?? { ok: false, reason: 'time_unknown' }
  }
  return {
    ok: true,
    set: { keys: set.keys.filter((key) => !due.includes(key)) },
    dropped: due.map((key) => key.kid),
  }
}

/** From when the next key may sign: no downstream holds a set without it. `null` if the set does not tell. */
export const promoteSafeAt = (key: SigningKey): Date | null =>
  later(key.created_at, DOWNSTREAM_CACHE_SECONDS + ROLLOUT_SECONDS)

/** From when a retired key may go: everything it signed has expired everywhere. `null` if the set does not tell. */
export const retireSafeAt = (key: SigningKey, tokenMaxSeconds = TOKEN_MAX_SECONDS): Date | null =>
  later(key.retired_at, tokenMaxSeconds + ROLLOUT_SECONDS + CLOCK_SKEW_SECONDS)

/** RFC 3339 in UTC, to the second. */
export const timestamp = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, 'Z')

export const nextOf = (set: KeySet): SigningKey | undefined =>
  set.keys.find((key) => stateOf(set, key) === 'next')

export function publicHalf(key: SigningKey): SigningKey {
  const kept = PUBLIC_MEMBERS.filter((member) => key[member] !== undefined)
  return Object.fromEntries(kept.map((member) => [member, key[member]])) as unknown as SigningKey
}

function fitting(set: KeySet): Transition {
  const bytes = sizeBytes(set)
  return bytes > SECRET_MAX_BYTES ? { ok: false, reason: 'too_large', bytes } : { ok: true, set }
}

function notBefore(safeAt: Date | null, now: Date) {
  if (safeAt === null) return { ok: false, reason: 'time_unknown' } as const
  return now < safeAt ? ({ ok: false, reason: 'too_early', safeAt } as const) : undefined
}

const later = (from: string | undefined, seconds: number): Date | null =>
  from === undefined ? null : new Date(Date.parse(from) + seconds * 1000)
