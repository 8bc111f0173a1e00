/**
 * The secrets of the local gateway, the signing key and the pepper of refresh sessions: from the caller, from the
 * developer's settings, or generated once.
 *
 * Generated secrets are kept, mode 0600, beside the local state that git ignores. Keys reach the Worker in a file, never
 * in a command line, where every user of the machine could read them, and are never printed.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { UsageError } from './cli.ts'
import { makeFirstKeys } from './keys/file.ts'
import { firstSet } from './keys/rotation.ts'
import { PROJECT } from './wrangler.ts'

export interface Secrets {
  /** A private JWK Set as JSON. Default: the one kept in the state folder, made once. */
  signingKeys?: string
  /** Further files of `NAME=value` lines for the Worker, such as `.dev.vars`. */
  envFiles?: readonly string[]
}

/** The developer's configuration: `SIGNING_KEYS` in the environment, `.dev.vars`. */
export async function developerSecrets(): Promise<Secrets> {
  const devVars = join(PROJECT, '.dev.vars')
  const signingKeys = process.env.SIGNING_KEYS
  return {
    envFiles: (await exists(devVars)) ? [devVars] : [],
    ...(signingKeys && { signingKeys }),
  }
}

/** What `.dev.vars` sets, secrets included. */
export async function developerVars(): Promise<NodeJS.Dict<string>> {
  const { envFiles = [] } = await developerSecrets()
  const texts = await Promise.all(envFiles.map((file) => readFile(file, 'utf8')))
  return parseEnv(texts.join('\n'))
}

/** A private JWK Set as `npm run keys -- generate` makes it, as JSON: what `SIGNING_KEYS` holds. */
export async function generateSigningKeys(): Promise<string> {
  const now = new Date()
  const first = firstSet(await makeFirstKeys(now), now)
  if (!first.ok) throw new Error(first.reason)
  return JSON.stringify(first.set)
}

/**
 * The files that take the secrets to the Worker on `port`, without those that another file has already.
 *
 * @returns also what removes the file again that was for this run only
 */
export async function secretsFiles(
  stateFolder: string,
  port: number,
  { signingKeys, envFiles = [] }: Secrets,
) {
  const declared = await Promise.all(envFiles.map((file) => readFile(file, 'utf8')))
  const isDeclared = (name: string) =>
    declared.some((text) => new RegExp(`^\\s*${name}\\s*=`, 'm').test(text))
  const files: string[] = []
  if (!isDeclared('SESSION_PEPPER'))
    files.push(await kept(join(stateFolder, 'session-pepper.env'), makePepper))
  if (signingKeys !== undefined) {
    const file = join(stateFolder, `signing-keys.${port}.env`)
    await write(file, signingKeysLine(signingKeys))
    return { files: [...files, file], remove: () => rm(file, { force: true }) }
  }
  if (!isDeclared('SIGNING_KEYS')) {
    const make = async () => signingKeysLine(await generateSigningKeys())
    files.push(await kept(join(stateFolder, 'signing-keys.env'), make))
  }
  return { files, remove: async () => {} }
}

const makePepper = async (): Promise<string> => `SESSION_PEPPER=${randomBytes(32).toString('hex')}`

/** A file of the state folder, made when it is not there yet. */
async function kept(file: string, make: () => Promise<string>): Promise<string> {
  if (!(await exists(file))) await write(file, await make())
  return file
}

async function write(file: string, line: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `${line}\n`, { mode: 0o600 })
  await chmod(file, 0o600)
}

const signingKeysLine = (signingKeys: string): string => `SIGNING_KEYS='${oneLine(signingKeys)}'`

function oneLine(signingKeys: string): string {
  try {
    return JSON.stringify(JSON.parse(signingKeys))
  } catch {
    throw new UsageError(
      'SIGNING_KEYS is not JSON. It holds a private JWK Set; "npm run keys -- generate" makes one.',
    )
  }
}

const exists = (file: string): Promise<boolean> =>
  readFile(file).then(
    () => true,
    () => false,
  )
