/**
 * The state of D1 as commands read it: every row is read at most once, and replaced by what earlier commands of the same
 * commit made. So several commands can be decided one after the other, and committed together. Does I/O.
 */
import { getTableColumns } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { Database } from '../db/client.ts'
import { type Edit, entityOf, nameOf, type Row, type RowOf, type Table } from '../entities/edit.ts'
import { byColumns, type Index, type Key, type Selection } from '../entities/entity.ts'

/** What was read or is being read: the rows under each key of an index. */
type Reads = Map<string, Promise<readonly Row[]>>

export class State {
  readonly db: Database
  readonly #edits: readonly Edit[]
  readonly #edited = new Map<Table, ReadonlyMap<string, Row>>()
  readonly #reads: Reads

  /** @param reads - of a state of the same moment, still valid */
  constructor(db: Database, edits: readonly Edit[] = [], reads: Reads = new Map()) {
    this.db = db
    this.#edits = edits
    this.#reads = reads
  }

  /** The state after these edits. */
  after(edits: readonly Edit[]): State {
    return edits.length === 0 ? this : new State(this.db, [...this.#edits, ...edits], this.#reads)
  }

  rows<T extends Table>(table: T): Rows<RowOf<T>> {
    let edited = this.#edited.get(table)
    if (!edited) {
      const own = this.#edits.filter((edit) => edit.table === table)
      edited = new Map(own.map(({ after }) => [nameOf(table, after), after]))
      this.#edited.set(table, edited)
    }
    return new RowsOfTable(this.db, table, edited, this.#reads) as unknown as Rows<RowOf<T>>
  }
}

export interface Rows<R> {
  /** The row with this primary key. */
  load(key: Key): Promise<R | undefined>
  /** Those that exist. Unread rows are read in one statement; missing ones are remembered as missing. */
  loadMany(keys: readonly Key[]): Promise<R[]>
  /** The rows under any of these keys of an index; read likewise. */
  by(index: Index<R>, keys: readonly Key[]): Promise<R[]>
  /** The rows of a selection, not cached. @param limit - of those in D1 */
  where(selection: Selection<R>, limit: number): Promise<R[]>
}

class RowsOfTable implements Rows<Row> {
  readonly #db: Database
  readonly #table: Table
  readonly #edited: ReadonlyMap<string, Row>
  readonly #reads: Reads

  constructor(db: Database, table: Table, edited: ReadonlyMap<string, Row>, reads: Reads) {
    this.#db = db
    this.#table = table
    this.#edited = edited
    this.#reads = reads
  }

  async load(key: Key): Promise<Row | undefined> {
    return (await this.loadMany([key]))[0]
  }

  loadMany(keys: readonly Key[]): Promise<Row[]> {
    return this.by(this.#primary(), keys)
  }

  async by(index: Index<Row>, keys: readonly Key[]): Promise<Row[]> {
    const unread = keys.filter((key) => !this.#reads.has(this.#nameOf(index, key)))
    if (unread.length > 0) this.#read(index, unread)
    const names = new Set(keys.map(textOf))
    const read = await Promise.all(keys.map((key) => this.#reads.get(this.#nameOf(index, key)) ?? []))
    return this.#overlaid(read.flat(), (row) => index.keysOf(row).some((key) => names.has(textOf(key))))
  }

  async where({ where, matches }: Selection<Row>, limit: number): Promise<Row[]> {
    const { table } = entityOf(this.#table)
    const read = await this.#db.select().from(table).where(where).limit(limit)
    return this.#overlaid(read as unknown as Row[], matches)
  }

  /** The rows with edited ones replaced, and new matches added. */
  #overlaid(read: readonly Row[], belongs: (row: Row) => boolean): Row[] {
    const rows = new Map(read.map((row) => [nameOf(this.#table, row), row]))
    for (const [name, row] of this.#edited) {
      if (belongs(row)) rows.set(name, row)
      else rows.delete(name)
    }
    return [...rows.values()]
  }

  #read(index: Index<Row>, keys: readonly Key[]): void {
    const { table } = entityOf(this.#table)
    const reading = this.#db
      .select()
      .from(table)
      .where(index.where([...new Set(keys)]))
      .then((found) => {
        const rows = found as unknown as Row[]
        const primary = this.#primary()
        // A cached row is found by its primary key without another statement.
        for (const row of rows) {
          for (const key of primary.keysOf(row)) {
            const name = this.#nameOf(primary, key)
            if (!this.#reads.has(name)) this.#reads.set(name, Promise.resolve([row]))
          }
        }
        const grouped = new Map<string, Row[]>()
        for (const row of rows) {
          for (const key of index.keysOf(row)) {
            const name = textOf(key)
            grouped.set(name, [...(grouped.get(name) ?? []), row])
          }
        }
        return grouped
      })
    for (const key of keys) {
      this.#reads.set(
        this.#nameOf(index, key),
        reading.then((grouped) => grouped.get(textOf(key)) ?? []),
      )
    }
  }

  #primary(): Index<Row> {
    const { table, key } = entityOf(this.#table)
    const columns = getTableColumns(table) as Record<string, SQLiteColumn>
    return byColumns(...key.map((name) => columns[name] as SQLiteColumn))
  }

  #nameOf(index: Index<Row>, key: Key): string {
    return `${this.#table} ${index.name} ${textOf(key)}`
  }
}

const textOf = (key: Key): string => (typeof key === 'string' ? key : JSON.stringify(key))
