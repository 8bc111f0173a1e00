/**
 * The key set on disk, and new keys: the only part of the key tool with side effects.
 *
 * The file is replaced whole (temporary file, then rename), so that a crash never leaves half a key. It is readable by
 * its owner only. A file that is not a complete, consistent key set is refused and stays as it is: a tool that
 * "repaired" it could throw away the only copy of a signing key. Messages name what is wrong, never a value.
 */
import { randomUUID } from 'node:crypto'
import { access, chmod, link, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from 'jose'
import * as z from 'zod'
import { UsageError } from '../cli.ts'
import { toolCommand } from './report.ts'
import {
  type Algorithm,
  isPrivate,
  type KeySet,
  type SigningKey,
  serialize,
  stateOf,
  timestamp,
} from './rotation.ts'

/** A problem to tell the operator; anything else that is thrown is a bug. */
export class KeyFileError extends UsageError {}

/** RFC 7518 section 3.3: at least 2048 bits. More would not fit: two private halves have to share 5 KB. */
const RSA_BITS = 2048

const text = z.string().min(1)
const common = {
  kid: text,
  use: z.literal('sig'),
  created_at: z.iso.datetime().optional(),
  promoted_at: z.iso.datetime().optional(),
  retired_at: z.iso.datetime().optional(),
}

const keySchema = z.discriminatedUnion('alg', [
  z.looseObject({
    alg: z.literal('ES256'),
    kty: z.literal('EC'),
    crv: z.literal('P-256'),
    x: text,
    y: text,
    ...common,
  }),
  z.looseObject({ alg: z.literal('RS256'), kty: z.literal('RSA'), n: text, e: text, ...common }),
  z.looseObject({
    alg: z.literal('EdDSA'),
    kty: z.literal('OKP'),
    crv: z.literal('Ed25519'),
    x: text,
    ...common,
  }),
])

const setSchema = z.object({ keys: z.array(keySchema).min(1) })

/** A new private key; its `kid` is its RFC 7638 thumbprint. */
export async function makeKey(alg: Algorithm, now: Date): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: RSA_BITS })
  const { kty, ...members } = await exportJWK(privateKey)
  const jwk = { kty: kty as string, ...members }
  const kid = await calculateJwkThumbprint(jwk)
  return { ...jwk, alg, kid, use: 'sig', created_at: timestamp(now) }
}

/** One key an algorithm: for access tokens, and for the ID tokens of clients that accept RS256 only. */
export const makeFirstKeys = (
  now: Date,
  algorithms: readonly Algorithm[] = ['ES256', 'RS256'],
): Promise<SigningKey[]> => Promise.all(algorithms.map((alg) => makeKey(alg, now)))

/** Reads and checks the whole set; throws a `KeyFileError` for everything that is not one. */
export async function readSet(path: string): Promise<KeySet> {
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new KeyFileError(`${path} does not exist. Make it with: ${toolCommand(path, 'generate')}`)
    }
    throw new KeyFileError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
  }
  const problems = await problemsOf(content)
  if (problems.length > 0) {
    throw new KeyFileError(
      [`${path} is not a key set this tool can work with; it was left as it is.`, ...problems].join('\n  '),
    )
  }
  return JSON.parse(content) as KeySet
}

/** Writes a set over the one that is there, or, with `create`, refuses if there is one. */
export async function writeSet(path: string, set: KeySet, create = false): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const target = create ? path : await realpath(path)
  const temporary = `${target}.${randomUUID()}.tmp`
  try {
    await writeFile(temporary, serialize(set), { mode: 0o600, flag: 'wx', flush: true })
    await chmod(temporary, 0o600)
    if (create) await link(temporary, target)
    else await rename(temporary, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw alreadyThere(path)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Whether others than the owner may read the file. */
export const isExposed = async (path: string): Promise<boolean> => ((await stat(path)).mode & 0o077) !== 0

export async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  )
  if (exists) throw alreadyThere(path)
}

const alreadyThere = (path: string) =>
  new KeyFileError(`${path} exists; it is never overwritten. To change keys: ${toolCommand(path, 'next')}`)

async function problemsOf(content: string): Promise<string[]> {
  let json: unknown
  try {
    json = JSON.parse(content)
  } catch {
    return ['It is not JSON.']
  }
  const parsed = setSchema.safeParse(json)
  if (!parsed.success) {
    return parsed.error.issues.map((issue) => `${issue.path.join('.') || 'The top level'}: ${issue.message}`)
  }
  const keys = parsed.data.keys as SigningKey[]
  const [first] = keys
  const problems: string[] = []
  if (first && !isPrivate(first)) problems.push('keys.0: the first key signs, so it needs its private half.')
  const waiting = keys.filter((key) => stateOf({ keys }, key) === 'next')
  if (waiting.length > 1) problems.push('More than one key waits to sign.')
  if (new Set(keys.map((key) => key.kid)).size < keys.length) problems.push('Two keys have the same kid.')
  for (const [index, key] of keys.entries()) {
    if ((await calculateJwkThumbprint(key)) !== key.kid) {
      problems.push(`keys.${index}: kid is not the key's RFC 7638 thumbprint.`)
    }
    const imported = await importJWK(key, key.alg).catch(() => undefined)
    if (!imported) problems.push(`keys.${index}: the members do not make up a key.`)
  }
  return problems
}
