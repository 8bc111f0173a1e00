/**
 * What D1 holds, as commands read it: the rows of now, with those in place of the old that earlier commands of the same
 * commit have made. So several commands can be decided one after the other, and committed together. Does I/O.
 */
import { and, eq, gt, inArray, isNull, or, type SQL, sql } from 'drizzle-orm'
import type { Database } from '../db/client.ts'
import type {
  ChangeRequestRow,
  ContractRow,
  FindingRow,
  FlagRow,
  GrantRow,
  MappingRow,
  OrganizationRow,
  PlanRow,
  PolicyRow,
  RuleRow,
} from '../db/rows.ts'
import * as schema from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { isRowOf } from '../entities/contract.ts'
import { type Edit, filingOf } from '../entities/edit.ts'

/** What was read, so that it is read once however many commands ask. */
type Read = Map<string, PromiseLike<readonly Edit['after'][]>>

/** More than the commands of one commit. */
const MANY_ROWS = 200

export class State {
  readonly db: Database
  readonly #edits: readonly Edit[]
  readonly #edited: ReadonlyMap<string, Edit['after']>
  readonly #read: Read

  /** @param earlier - a state of the same moment, whose readings are still true */
  constructor(db: Database, edits: readonly Edit[] = [], earlier?: State) {
    this.db = db
    this.#edits = edits
    this.#edited = new Map(edits.map((edit) => [filingOf(edit).entity, edit.after]))
    this.#read = earlier ? earlier.#read : new Map()
  }

  /** The state after these edits of it. */
  after(edits: readonly Edit[]): State {
    return edits.length === 0 ? this : new State(this.db, [...this.#edits, ...edits], this)
  }

  /** Reads rows that many commands will ask for one by one; what is not found is known not to be there. */
  async prefetch(wanted: Prefetch): Promise<void> {
    const { organizations = [], contracts = [], mappings = [], plans = [], flags = [] } = wanted
    const known = (entity: string, row: Edit['after'] | undefined) =>
      this.#read.set(entity, Promise.resolve(row === undefined ? [] : [row]))
    const [orgRows, contractRows, mappingRows, planRows, flagRows] = await Promise.all([
      organizations.length === 0
        ? []
        : this.db
            .select()
            .from(schema.organizations)
            .where(inArray(schema.organizations.id, list(organizations))),
      contracts.length === 0 ? [] : this.db.select().from(schema.contracts).where(isRowOfAny(contracts)),
      mappings.length === 0
        ? []
        : this.db
            .select()
            .from(schema.mappings)
            .where(
              and(
                inArray(schema.mappings.source, list(mappings.map(({ source }) => source))),
                inArray(schema.mappings.external_id, list(mappings.map(({ external_id }) => external_id))),
              ),
            ),
      plans.length === 0
        ? []
        : this.db
            .select()
            .from(schema.plans)
            .where(inArray(schema.plans.key, list(plans))),
      flags.length === 0
        ? []
        : this.db
            .select()
            .from(schema.flags)
            .where(inArray(schema.flags.key, list(flags))),
    ])
    for (const key of plans) {
      const row = planRows.find((one) => one.key === key)
      known(`plan:${key}`, row)
    }
    for (const key of flags) {
      const row = flagRows.find((one) => one.key === key)
      known(`flag:${key}`, row)
    }
    for (const id of organizations) {
      const row = orgRows.find((one) => one.id === id)
      known(`organization:${id}`, row)
    }
    for (const id of contracts) {
      const rows = contractRows.filter((row) => isRowOf(id, row.id))
      this.#read.set(`contract rows:${id}`, Promise.resolve(rows))
      for (const row of rows) known(`contract:${row.id}`, row)
      if (rows.every((row) => row.id !== id)) known(`contract:${id}`, undefined)
    }
    for (const { source, external_id } of mappings) {
      for (const kind of ['plan', 'flag', 'org'] as const) {
        const row = mappingRows.find(
          (one) => one.source === source && one.kind === kind && one.external_id === external_id,
        )
        known(`mapping:${source}:${kind}:${external_id}`, row)
      }
    }
  }

  flag(key: string): Promise<FlagRow | undefined> {
    return this.#one(`flag:${key}`, () =>
      this.db.select().from(schema.flags).where(eq(schema.flags.key, key)),
    )
  }

  /** Those of the keys that exist. */
  async flags(keys: readonly string[]): Promise<FlagRow[]> {
    const wanted = new Set(keys)
    if (keys.every((key) => this.#read.has(`flag:${key}`))) {
      const rows = await Promise.all([...wanted].map((key) => this.flag(key)))
      return rows.filter((row) => row !== undefined)
    }
    return this.#all<FlagRow>(
      'flag:',
      (flag) => flag.key,
      keys.length === 0
        ? []
        : this.#once(`flags:${keys}`, () =>
            this.db
              .select()
              .from(schema.flags)
              .where(inArray(schema.flags.key, list(keys))),
          ),
      (flag) => wanted.has(flag.key),
    )
  }

  rule(flag: string, environment: string): Promise<RuleRow | undefined> {
    return this.#one(`rule:${environment}:${flag}`, () =>
      this.db
        .select()
        .from(schema.rules)
        .where(and(eq(schema.rules.flag, flag), eq(schema.rules.environment, environment))),
    )
  }

  plan(key: string): Promise<PlanRow | undefined> {
    return this.#one(`plan:${key}`, () =>
      this.db.select().from(schema.plans).where(eq(schema.plans.key, key)),
    )
  }

  /** The plans that hold one of the flags. */
  plansWith(flags: readonly string[]): Promise<PlanRow[]> {
    const wanted = new Set(flags)
    return this.#all<PlanRow>(
      'plan:',
      (plan) => plan.key,
      this.db
        .select()
        .from(schema.plans)
        .where(
          sql`EXISTS (SELECT 1 FROM json_each(${schema.plans.flags}) AS held WHERE held.value IN ${list(flags)})`,
        ),
      (plan) => plan.flags.some((flag) => wanted.has(flag)),
    )
  }

  organization(id: string): Promise<OrganizationRow | undefined> {
    return this.#one(`organization:${id}`, () =>
      this.db.select().from(schema.organizations).where(eq(schema.organizations.id, id)),
    )
  }

  contract(id: string): Promise<ContractRow | undefined> {
    return this.#one(`contract:${id}`, () =>
      this.db.select().from(schema.contracts).where(eq(schema.contracts.id, id)),
    )
  }

  /** All rows of a contract: its own and those of its later phases. */
  contractRows(contract: string): Promise<ContractRow[]> {
    return this.#all<ContractRow>(
      'contract:',
      (row) => row.id,
      this.#once(`contract rows:${contract}`, () =>
        this.db
          .select()
          .from(schema.contracts)
          .where(isRowOfAny([contract])),
      ),
      (row) => isRowOf(contract, row.id),
    )
  }

  contractsOf(org: string): Promise<ContractRow[]> {
    return this.#all<ContractRow>(
      'contract:',
      (contract) => contract.id,
      this.db.select().from(schema.contracts).where(eq(schema.contracts.org, org)),
      (contract) => contract.org === org,
    )
  }

  grant(id: string): Promise<GrantRow | undefined> {
    return this.#one(`grant:${id}`, () =>
      this.db.select().from(schema.grants).where(eq(schema.grants.id, id)),
    )
  }

  /** Grants of one source for a flag in an environment, those included that have ended. */
  grantsFrom(source: GrantRow['source'], flag: string, environment: string): Promise<GrantRow[]> {
    return this.#all<GrantRow>(
      'grant:',
      (grant) => grant.id,
      this.db
        .select()
        .from(schema.grants)
        .where(
          and(
            eq(schema.grants.flag, flag),
            eq(schema.grants.environment, environment),
            eq(schema.grants.source, source),
          ),
        ),
      (grant) => grant.flag === flag && grant.environment === environment && grant.source === source,
    )
  }

  /**
   * Grants that give a flag from an instant on, or later; of many, a few more than one commit can take back.
   *
   * @param at - RFC 3339
   */
  grantsGiving(flag: string, at: string): Promise<GrantRow[]> {
    const { grants } = schema
    const lasts = or(isNull(grants.to), gt(grants.to, at))
    return this.#all<GrantRow>(
      'grant:',
      (grant) => grant.id,
      this.db
        .select()
        .from(grants)
        .where(and(eq(grants.flag, flag), eq(grants.effect, 'allow'), lasts))
        .limit(MANY_ROWS),
      (grant) => grant.flag === flag && grant.effect === 'allow' && (grant.to === null || grant.to > at),
    )
  }

  /** Contracts that pay for a flag from an instant on, or later; of many, a few more than one commit can change. */
  async contractsGiving(flag: string, at: string): Promise<ContractRow[]> {
    const { contracts } = schema
    const plans = (await this.plansWith([flag])).filter((plan) => plan.flags.includes(flag))
    const keys = plans.map(({ key }) => key)
    return this.#all<ContractRow>(
      'contract:',
      (contract) => contract.id,
      this.db
        .select()
        .from(contracts)
        .where(
          and(
            or(
              inArray(contracts.plan, list(keys)),
              sql`EXISTS (SELECT 1 FROM json_each(${contracts.add}) AS held WHERE held.value = ${flag})`,
            ),
            or(isNull(contracts.to), gt(contracts.to, at)),
            or(
              inArray(contracts.status, ['trialing', 'active']),
              and(eq(contracts.status, 'past_due'), gt(contracts.grace_until, at)),
            ),
          ),
        )
        .limit(MANY_ROWS),
      ({ plan, add, to, status, grace_until }) =>
        ((plan !== null && keys.includes(plan)) || add.includes(flag)) &&
        (to === null || to > at) &&
        (status === 'trialing' ||
          status === 'active' ||
          (status === 'past_due' && grace_until !== null && grace_until > at)),
    )
  }

  policy(environment: string): Promise<PolicyRow | undefined> {
    return this.#one(`policy:${environment}`, () =>
      this.db.select().from(schema.policies).where(eq(schema.policies.environment, environment)),
    )
  }

  change(id: string): Promise<ChangeRequestRow | undefined> {
    return this.#one(`change:${id}`, () =>
      this.db.select().from(schema.change_requests).where(eq(schema.change_requests.id, id)),
    )
  }

  mapping(source: string, kind: MappingRow['kind'], externalId: string): Promise<MappingRow | undefined> {
    return this.#one(`mapping:${source}:${kind}:${externalId}`, () =>
      this.db
        .select()
        .from(schema.mappings)
        .where(
          and(
            eq(schema.mappings.source, source),
            eq(schema.mappings.kind, kind),
            eq(schema.mappings.external_id, externalId),
          ),
        ),
    )
  }

  finding(id: string): Promise<FindingRow | undefined> {
    return this.#one(`finding:${id}`, () =>
      this.db.select().from(schema.findings).where(eq(schema.findings.id, id)),
    )
  }

  async #one<T extends Edit['after']>(entity: string, read: () => PromiseLike<T[]>): Promise<T | undefined> {
    const edited = this.#edited.get(entity)
    return edited === undefined ? (await this.#once(entity, read))[0] : (edited as T)
  }

  #once<T extends Edit['after']>(name: string, read: () => PromiseLike<T[]>): PromiseLike<T[]> {
    const known = this.#read.get(name) as PromiseLike<T[]> | undefined
    if (known) return known
    const reading = read()
    this.#read.set(name, reading)
    return reading
  }

  /** The rows that were read, with the edited ones in their place and those beside them that now belong here. */
  async #all<T extends Edit['after']>(
    prefix: string,
    id: (row: T) => string,
    read: PromiseLike<T[]> | T[],
    belongs: (row: T) => boolean,
  ): Promise<T[]> {
    const rows = (await read).filter((row) => !this.#edited.has(prefix + id(row)))
    const edited = [...this.#edited].flatMap(([entity, row]) => (entity.startsWith(prefix) ? [row as T] : []))
    return [...rows, ...edited.filter(belongs)]
  }
}

export interface Prefetch {
  readonly organizations?: readonly string[]
  readonly contracts?: readonly string[]
  readonly plans?: readonly string[]
  readonly flags?: readonly string[]
  readonly mappings?: readonly { readonly source: string; readonly external_id: string }[]
}

/** Rows `C-9`, `C-9~2`, …, found by the primary key: the character after the digits is a colon. */
const isRowOfAny = (contracts: readonly string[]): SQL =>
  sql`${schema.contracts.id} IN (
    SELECT c.id FROM json_each(${JSON.stringify(contracts)}) AS j JOIN contracts c ON c.id = j.value
    UNION ALL
    SELECT c.id FROM json_each(${JSON.stringify(contracts)}) AS j
      JOIN contracts c ON c.id > j.value || '~' AND c.id < j.value || '~:')`
