/**
 * The database of the control plane under test as a whole: emptied, copied, and filled again by SQL, in a fraction of the
 * time that it takes over HTTP.
 */
import { applyD1Migrations, reset } from 'cloudflare:test'
import { eventually } from '../../support/eventually.ts'

export type Rows = Readonly<Record<string, readonly object[]>>

export interface Snapshot {
  readonly rows: Rows
  readonly documents: ReadonlyMap<string, string>
}

interface Stores {
  readonly DB: D1Database
  readonly ENTITLEMENTS: KVNamespace
  readonly MIGRATIONS: Parameters<typeof applyD1Migrations>[1]
}

/** Tables, indexes and triggers as the migrations leave them: these take a while, and what they make is always the same. */
let schema: readonly string[] | undefined

const OWN = "name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' AND name NOT LIKE 'd1_%'"

/** Empties everything, the Durable Objects too; again, where something of an earlier test was still being written. */
export async function empty({ DB, ENTITLEMENTS, MIGRATIONS }: Stores): Promise<void> {
  await eventually(async () => {
    await reset()
    const rows = await DB.prepare("SELECT name FROM sqlite_master WHERE name = 'flags'").first()
    const { keys } = await ENTITLEMENTS.list({ limit: 1 })
    return (rows === null && keys.length === 0) || undefined
  }, 'an empty database')
  if (schema) {
    await DB.batch(schema.map((sql) => DB.prepare(sql)))
    return
  }
  await applyD1Migrations(DB, MIGRATIONS)
  const { results } = await DB.prepare(
    `SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND ${OWN} ORDER BY rowid`,
  ).all<{ sql: string }>()
  schema = results.map(({ sql }) => sql)
}

export async function insertRows({ DB }: Pick<Stores, 'DB'>, tables: Rows): Promise<void> {
  const statements = Object.entries(tables).flatMap(([table, rows]) =>
    rows.map((row) => {
      const columns = Object.keys(row).map((name) => `"${name}"`)
      const values = columns.map(() => '?')
      return DB.prepare(`INSERT OR REPLACE INTO "${table}" (${columns}) VALUES (${values})`).bind(
        ...Object.values(row),
      )
    }),
  )
  if (statements.length > 0) await DB.batch(statements)
}

export async function copy({ DB, ENTITLEMENTS }: Stores): Promise<Snapshot> {
  const { results: tables } = await DB.prepare(
    `SELECT name FROM sqlite_master WHERE type = 'table' AND ${OWN}`,
  ).all<{ name: string }>()
  const contents = await DB.batch<object>(tables.map(({ name }) => DB.prepare(`SELECT * FROM "${name}"`)))
  const { keys } = await ENTITLEMENTS.list()
  const texts = await Promise.all(keys.map(async ({ name }) => [name, await ENTITLEMENTS.get(name)] as const))
  return {
    rows: Object.fromEntries(tables.map(({ name }, index) => [name, contents[index]?.results ?? []])),
    documents: new Map(texts.map(([name, text]) => [name, text ?? ''])),
  }
}

export async function restore(stores: Stores, { rows, documents }: Snapshot): Promise<void> {
  await insertRows(stores, rows)
  await Promise.all([...documents].map(([name, text]) => stores.ENTITLEMENTS.put(name, text)))
}
