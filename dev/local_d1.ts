/**
 * The control plane's local database: its migrations and initial rows.
 *
 * The state folder gets an admin's API key, in a file that only its owner can read, so that the command line tools need
 * no log-in; and a policy for production that requires no approval, because there is nobody else on this machine.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { apiKeyText, makeApiKey } from '../src/control/auth/secrets.ts'
import { sha256Hex } from '../src/control/canonical.ts'
import { openBindings } from './local_bindings.ts'
import { PROJECT, STATE } from './wrangler.ts'

/** Long, so that developers do not have to replace it every year. */
const KEY_DAYS = 3_650

const MIGRATIONS = join(PROJECT, 'migrations')

/** The part of a D1 database that is used here; wrangler's proxy has no types of its own for it. */
export interface Database {
  prepare(query: string): Statement
  batch(statements: Statement[]): Promise<unknown>
}

interface Statement {
  bind(...values: unknown[]): Statement
  run(): Promise<unknown>
  all<T>(): Promise<{ results: T[] }>
}

/**
 * Applies the migrations that the local D1 does not have, and makes the key. Applied ones are recorded where `wrangler d1
 * migrations` records them, so that either can continue after the other.
 *
 * @returns the names of those that it applied
 */
export async function migrate(persistTo = STATE): Promise<string[]> {
  const { env, dispose } = await openBindings<{ DB: Database }>(
    persistTo,
    'wrangler.control.toml',
    'd1_databases',
  )
  try {
    const applied = await applyMigrations(env.DB)
    if ((await localKey(persistTo)) === undefined) await makeLocalKey(env.DB, persistTo)
    return applied
  } finally {
    await dispose()
  }
}

async function applyMigrations(db: Database): Promise<string[]> {
  const { unstable_splitSqlQuery: statementsOf } = await import('wrangler')
  await db
    .prepare(
      `CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
         applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`,
    )
    .run()
  const { results } = await db.prepare('SELECT name FROM d1_migrations').all<{ name: string }>()
  const applied = new Set(results.map(({ name }) => name))
  const files = (await readdir(MIGRATIONS)).filter((name) => name.endsWith('.sql')).sort()
  const due = files.filter((name) => !applied.has(name))
  for (const name of due) {
    const sql = await readFile(join(MIGRATIONS, name), 'utf8')
    await db.batch([
      ...statementsOf(sql).map((statement) => db.prepare(statement)),
      db.prepare('INSERT INTO d1_migrations (name) VALUES (?)').bind(name),
    ])
  }
  return due
}

/** The API key of the state folder, if it has one. */
export const localKey = (persistTo: string): Promise<string | undefined> =>
  readFile(keyFile(persistTo), 'utf8').catch(() => undefined)

const keyFile = (persistTo: string): string => join(persistTo, 'control-key')

/** Makes the API key of a state folder, whose database this is. */
export async function makeLocalKey(db: Database, persistTo: string): Promise<void> {
  const key = makeApiKey()
  const now = new Date()
  const ends = new Date(now.getTime() + KEY_DAYS * 86_400_000).toISOString()
  const at = now.toISOString()
  await db.batch([
    db
      .prepare(
        `INSERT INTO api_keys (id, name, owner, created_by, role, secret_hash, created_at, updated_at, ends_at, revision)
         VALUES (?, 'this machine', 'user:developer', 'user:developer', 'admin', ?, ?, ?, ?, 1)`,
      )
      .bind(key.id, await sha256Hex(key.secret), at, at, ends),
    db
      .prepare(
        `INSERT OR IGNORE INTO policies (environment, approvals, owner_approves, exclusive, updated_at, revision)
         VALUES ('production', 0, 0, '[]', ?, 1)`,
      )
      .bind(at),
  ])
  await mkdir(persistTo, { recursive: true })
  await writeFile(keyFile(persistTo), apiKeyText(key), { mode: 0o600 })
}
