/** The migrations of the control plane's local database. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openBindings } from './local_bindings.ts'
import { PROJECT, STATE } from './wrangler.ts'

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
 * Applies the migrations that the local D1 does not have. Applied ones are recorded where `wrangler d1
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
    return await applyMigrations(env.DB)
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
