/**
 * The state that events are decided on: current rows and agreements, replaced by those that earlier steps of the same commit
 * made. Does I/O, and reads everything once.
 */
import { and, eq, inArray, or } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type { AgreementRow, ContractRow, MappingRow } from '../db/rows.ts'
import { agreements } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { byContract, byOrg } from '../entities/contract.ts'
import type { Step } from '../ledger/command.ts'
import type { State } from '../ledger/state.ts'

type Reading = Map<string, Promise<readonly AgreementRow[]>>

export class Known {
  readonly state: State
  readonly #made: ReadonlyMap<string, AgreementRow>
  readonly #read: Reading

  constructor(state: State, made: ReadonlyMap<string, AgreementRow> = new Map(), read: Reading = new Map()) {
    this.state = state
    this.#made = made
    this.#read = read
  }

  get db(): Database {
    return this.state.db
  }

  /** The state after these steps, with their snapshots. */
  after(steps: readonly Step[], said: readonly AgreementRow[] = []): Known {
    if (steps.length + said.length === 0) return this
    const made = new Map([...this.#made, ...said.map((row) => [row.contract, row] as const)])
    return new Known(this.state.after(steps.map(({ edit }) => edit)), made, this.#read)
  }

  organization(id: string) {
    return this.state.rows('organizations').load(id)
  }
  plan(key: string) {
    return this.state.rows('plans').load(key)
  }
  flag(key: string) {
    return this.state.rows('flags').load(key)
  }
  mapping(source: string, kind: MappingRow['kind'], name: string) {
    return this.state.rows('mappings').load([source, kind, name])
  }
  contract(id: string) {
    return this.state.rows('contracts').load(id)
  }
  /** All rows of a contract: `C-9`, `C-9~2`, … */
  contractRows(contract: string): Promise<ContractRow[]> {
    return this.state.rows('contracts').by(byContract, [contract])
  }
  contractsOf(org: string): Promise<ContractRow[]> {
    return this.state.rows('contracts').by(byOrg, [org])
  }
  async agreement(contract: string): Promise<AgreementRow | undefined> {
    const made = this.#made.get(contract)
    if (made) return made
    return (await this.#once(`contract ${contract}`, eq(agreements.contract, contract)))[0]
  }

  /** Those with this number, of several systems behind one source. */
  numbered(source: string, number: string): Promise<AgreementRow[]> {
    return this.#all(
      `number ${source} ${number}`,
      and(eq(agreements.source, source), eq(agreements.external_id, number)),
      (row) => row.source === source && row.external_id === number,
    )
  }

  ofCustomer(source: string, customer: string): Promise<AgreementRow[]> {
    return this.#all(
      `customer ${source} ${customer}`,
      and(eq(agreements.source, source), eq(agreements.customer, customer)),
      (row) => row.source === source && row.customer === customer,
    )
  }

  /** Reads at once what many events will need one by one. */
  async prefetch(wanted: {
    readonly numbers: readonly { source: string; number: string }[]
    readonly customers: readonly { source: string; customer: string }[]
  }): Promise<void> {
    const { numbers, customers } = wanted
    if (numbers.length + customers.length === 0) return
    const rows = await this.db
      .select()
      .from(agreements)
      .where(
        or(
          and(
            inArray(agreements.source, list([...new Set(numbers.map(({ source }) => source))])),
            inArray(agreements.external_id, list(numbers.map(({ number }) => number))),
          ),
          and(
            inArray(agreements.source, list([...new Set(customers.map(({ source }) => source))])),
            inArray(agreements.customer, list(customers.map(({ customer }) => customer))),
          ),
        ),
      )
    for (const row of rows) this.#read.set(`contract ${row.contract}`, Promise.resolve([row]))
    for (const { source, number } of numbers) {
      const found = rows.filter((row) => row.source === source && row.external_id === number)
      this.#read.set(`number ${source} ${number}`, Promise.resolve(found))
    }
    for (const { source, customer } of customers) {
      const found = rows.filter((row) => row.source === source && row.customer === customer)
      this.#read.set(`customer ${source} ${customer}`, Promise.resolve(found))
    }
  }

  async #all(
    name: string,
    where: ReturnType<typeof and>,
    belongs: (row: AgreementRow) => boolean,
  ): Promise<AgreementRow[]> {
    const rows = (await this.#once(name, where)).filter(({ contract }) => !this.#made.has(contract))
    return [...rows, ...[...this.#made.values()].filter(belongs)]
  }

  #once(name: string, where: ReturnType<typeof and>): Promise<readonly AgreementRow[]> {
    const known = this.#read.get(name)
    if (known) return known
    const reading = Promise.resolve(this.db.select().from(agreements).where(where))
    this.#read.set(name, reading)
    return reading
  }
}
