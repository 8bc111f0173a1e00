/**
 * What the key tool says: the table of `show`, the next step after each command, and every refusal. Pure: text from
 * values. No line is made from a whole key, so none can hold a private member.
 */
import {
  type KeySet,
  nextOf,
  promoteSafeAt,
  type Refusal,
  replacedBy,
  retireSafeAt,
  SECRET_MAX_BYTES,
  SET_MAX_KEYS,
  type SigningKey,
  sizeBytes,
  stateOf,
  timestamp,
} from './rotation.ts'

export interface Context {
  path: string
  now: Date
  tokenMaxSeconds: number
}

export const DEFAULT_PATH = '.secrets/signing-keys.json'

/** The command that hands the file to the gateway; without it nothing of this takes effect. */
export const putCommand = (path: string): string => `npx wrangler secret put SIGNING_KEYS < ${quoted(path)}`

/** This tool's own command line for a step on the same file. */
export const toolCommand = (path: string, step: string): string =>
  `npm run keys -- ${path === DEFAULT_PATH ? '' : `--file ${quoted(path)} `}${step}`

/** `show`: one line a key, then the size. */
export function table(set: KeySet, context: Context): string {
  const rows = set.keys.map((key) => [
    key.kid,
    key.alg,
    stateOf(set, key),
    since(set, key) ?? 'unknown',
    todo(set, key, context),
  ])
  const lines = [['KID', 'ALG', 'STATE', 'SINCE', 'WHAT TO DO'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const text = lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
  const size = `The secret has ${bytes(sizeBytes(set))} of the ${bytes(SECRET_MAX_BYTES)} that Cloudflare takes.`
  return [...text, '', size].join('\n')
}

/** What is left to do on the way to a finished rotation. */
export function nextSteps(set: KeySet, context: Context): string {
  const waiting = set.keys
    .filter((key) => stateOf(set, key) !== 'active')
    .map((key) => `  ${stateOf(set, key)} ${key.kid}: ${todo(set, key, context)}`)
  return waiting.length > 0
    ? ['Then:', ...waiting].join('\n')
    : `To rotate later: ${toolCommand(context.path, 'next')}`
}

export function refusalText(refusal: Refusal, context: Context): string {
  switch (refusal.reason) {
    case 'next_exists':
      return `There is a next key already. Let it sign with: ${toolCommand(context.path, 'promote')}`
    case 'no_next':
      return `There is no next key. Publish one first with: ${toolCommand(context.path, 'next')}`
    case 'same_algorithm':
      return `A key of this algorithm signs already, so the next one takes its place: ${toolCommand(context.path, 'promote')}`
    case 'nothing_retired':
      return 'There is no retired key to drop.'
    case 'too_many':
      return `The gateway takes ${SET_MAX_KEYS} keys at most. Drop old ones first with: ${toolCommand(context.path, 'retire')}`
    case 'too_large':
      return `The secret would have ${bytes(refusal.bytes)}; Cloudflare takes ${bytes(SECRET_MAX_BYTES)}. Drop old keys first with: ${toolCommand(context.path, 'retire')}`
    case 'too_early':
      return `Not yet. It is safe from ${when(refusal.safeAt, context.now)}, counted from when the file was changed; if the secret was put later, wait longer by as much. --force goes ahead now: tokens may be refused downstream.`
    case 'time_unknown':
      return 'The file does not say when this key reached its state, so the tool cannot determine whether this is safe. If you know that it is: --force'
  }
}

function since(set: KeySet, key: SigningKey): string | undefined {
  const at = { active: key.promoted_at, next: key.created_at, retired: key.retired_at }
  return at[stateOf(set, key)]
}

function todo(set: KeySet, key: SigningKey, { path, now, tokenMaxSeconds }: Context): string {
  switch (stateOf(set, key)) {
    case 'active':
      return activeTodo(set, key, path)
    case 'next':
      return `${toolCommand(path, 'promote')}, ${from(promoteSafeAt(key), now)}`
    case 'retired':
      return `${toolCommand(path, 'retire')}, ${from(retireSafeAt(key, tokenMaxSeconds), now)}`
  }
}

function activeTodo(set: KeySet, key: SigningKey, path: string): string {
  const signs = key === set.keys[0] ? 'signs' : 'signs ID tokens of clients that expect it'
  const next = nextOf(set)
  if (next && replacedBy(set, next) === key) return `${signs} until the next key is promoted`
  const rotate = toolCommand(path, key === set.keys[0] ? 'next' : `next --alg ${key.alg}`)
  return next ? signs : `${signs}; to rotate: ${rotate}`
}

function from(safeAt: Date | null, now: Date): string {
  if (safeAt === null) return 'safe from an unknown time'
  return safeAt <= now ? 'safe now' : `safe from ${when(safeAt, now)}`
}

function when(at: Date, now: Date): string {
  const seconds = Math.ceil((at.getTime() - now.getTime()) / 1000)
  const wait = seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`
  return `${timestamp(at)} (in ${wait})`
}

const quoted = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`

const bytes = (count: number): string => `${count.toLocaleString('en')} bytes`
