/**
 * How the local gateway gets its signing key: from the caller, from the developer's settings, or made once.
 *
 * A key that is made is kept, mode 0600, beside the local state that git ignores. Keys reach the Worker in a file, never
 * in a command line, where every user of the machine could read them, and are never printed.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
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

/** A private JWK Set with one ES256 key, as JSON: what `SIGNING_KEYS` holds. */
export const generateSigningKeys = async (): Promise<string> =>
  JSON.stringify({ keys: [await makeKey('ES256', new Date())] })

/** The file that takes the signing keys to the Worker; none when another file has them already. */
export async function secretsFile(stateFolder: string, { signingKeys, envFiles = [] }: Secrets) {
  const remove = async () => {}
  if (signingKeys !== undefined) {
    const folder = await mkdtemp(join(tmpdir(), 'remint-'))
    const file = join(folder, 'signing-keys.env')
    await write(file, signingKeys)
    return { files: [file], remove: () => rm(folder, { recursive: true, force: true }) }
  }
  const declared = await Promise.all(envFiles.map((file) => readFile(file, 'utf8')))
  if (declared.some((text) => /^\s*SIGNING_KEYS\s*=/m.test(text))) return { files: [], remove }
  const file = join(stateFolder, 'signing-keys.env')
  if (!(await exists(file))) await write(file, await generateSigningKeys())
  return { files: [file], remove }
}

async function write(file: string, signingKeys: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `SIGNING_KEYS='${oneLine(signingKeys)}'\n`, { mode: 0o600 })
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
