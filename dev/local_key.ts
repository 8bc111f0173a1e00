/**
 * The admin's API key of a state folder, in a file that only its owner can read, so that the command line tools need no
 * log-in. The control plane makes it by its own bootstrap; and a policy for production that requires no approval, because
 * there is nobody else on this machine.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from './cli.ts'

/** The longest that there is. */
const KEY_DAYS = 365
const DAY_MS = 86_400_000

const keyFile = (persistTo: string): string => join(persistTo, 'control-key')

/** The API key of the state folder, if it has one. */
export const localKey = (persistTo: string): Promise<string | undefined> =>
  readFile(keyFile(persistTo), 'utf8').catch(() => undefined)

export const makeBootstrapSecret = (): string => randomBytes(32).toString('hex')

/** A file with the secret of one bootstrap for the Worker, as a secret must not stand in a command line. */
export async function bootstrapFile(persistTo: string, secret: string) {
  const file = join(persistTo, 'bootstrap.env')
  await mkdir(persistTo, { recursive: true })
  await writeFile(file, `BOOTSTRAP_SECRET=${secret}\n`, { mode: 0o600 })
  return { file, remove: () => rm(file, { force: true }) }
}

/** Makes the key of a state folder, at its running control plane. */
export async function makeLocalKey(url: string, secret: string, persistTo: string): Promise<void> {
  const owner = 'user:developer'
  const response = await fetch(`${url}/api/v1/bootstrap`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      subject: owner,
      policies: { production: { approvals: 0 } },
      api_key: {
        ...{ name: 'this machine', owner, role: 'admin' },
        ends_at: new Date(Date.now() + KEY_DAYS * DAY_MS - 60_000).toISOString(),
      },
      reason: 'The first admin of a local control plane',
    }),
  })
  const answer = (await response.json()) as { secret?: string; code?: string }
  if (answer.code === 'bootstrap_done') {
    throw new UsageError(
      `The control plane of ${persistTo} has an admin, but the file control-key is gone. Bring it back, or delete the folder to start over.`,
    )
  }
  if (answer.secret === undefined) throw new Error(`The bootstrap answered ${response.status} ${answer.code}`)
  await mkdir(persistTo, { recursive: true })
  await writeFile(keyFile(persistTo), answer.secret, { mode: 0o600 })
}
