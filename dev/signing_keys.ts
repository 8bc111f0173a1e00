/**
 * How the local gateway gets its signing key: from the caller, from the developer's settings, or made once.
 *
 * A key that is made is kept, mode 0600, beside the local state that git ignores. Keys reach the Worker in a file, never
 * in a command line, where every user of the machine could read them, and are never printed.
 */
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { UsageError } from './cli.ts'
import { makeKey } from './keys/file.ts'
import { PROJECT } from './wrangler.ts'

export interface Secrets {
  /** A private JWK Set as JSON. Default: the one kept in the state folder, made once. */
  signingKeys?: string
  /** Further files of `NAME=value` lines for the Worker, such as `.dev.vars`. */
  envFiles?: readonly string[]
}

/** What the developer has configured: `SIGNING_KEYS` in the environment, `.dev.vars`. */
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

/** A private JWK Set with one ES256 key, as JSON: what `SIGNING_KEYS` holds. */
export const generateSigningKeys = async (): Promise<string> =>
  JSON.stringify({ keys: [await makeKey('ES256', new Date())] })

/**
 * The file that takes the signing keys to the Worker on `port`; none when another file has them already.
 *
 * @returns also what removes the file again, if it was for this run only
 */
export async function secretsFile(
  stateFolder: string,
  port: number,
  { signingKeys, envFiles = [] }: Secrets,
) {
  if (signingKeys !== undefined) {
    const file = join(stateFolder, `signing-keys.${port}.env`)
    await write(file, signingKeys)
    return { files: [file], remove: () => rm(file, { force: true }) }
  }
  const remove = async () => {}
  const declared = await Promise.all(envFiles.map((file) => readFile(file, 'utf8')))
  if (declared.some((text) => /^\s*SIGNING_KEYS\s*=/m.test(text))) return { files: [], remove }
  const file = join(stateFolder, 'signing-keys.env')
  if (!(await exists(file))) await write(file, await generateSigningKeys())
  return { files: [file], remove }
}

async function write(file: string, signingKeys: string): Promise<void> {
  const line = `SIGNING_KEYS='${oneLine(signingKeys)}'\n`
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, line, { mode: 0o600 })
  await chmod(file, 0o600)
}

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
