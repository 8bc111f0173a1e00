/**
 * A pass over everything, step by step: it stores what it finds, and when it is complete resolves what it did not find. The
 * logic inside its Durable Object and the cron. Does I/O, through its options.
 *
 * A pass goes through stages, each a page at a time, and stores its position. So it continues after an eviction, and one
 * invocation stays within its limits of time and statements, however many organizations there are.
 */
import type { DriftProgress } from '../config.ts'
import { catalogFindings } from './catalog.ts'
import { type Misderived, misderivedFindings, type Quarantine, quarantineFindings } from './contract_sync.ts'
import { grantFindings } from './grants.ts'
import type { Finding } from './kinds.ts'
import { mintFindings, mintsAfter, mintsLeft } from './minted.ts'
import { add, organizationFindings, type Tally, tallied } from './organizations.ts'
import { publishedFindings, type WrongDocument } from './published.ts'
import {
  readCatalogRows,
  readContext,
  readGrants,
  readOrganizations,
  type Scope,
  strictEnvironments,
} from './read.ts'
import { keepFindings, resolveUnseen } from './store.ts'

/** From the start of one pass to the start of the next. */
const PASS_EVERY_MS = 15 * 60_000
/** How long one invocation works, out of 30 s of CPU and the minute until the next one. */
const WORK_MS = 15_000
/** An invocation may send 1,000 statements. */
const WORK_STATEMENTS = 700
const PAGE = { organizations: 500, grants: 1_000, documents: 500, mints: 200 } as const
/** How many findings about many organizations a pass remembers: its storage value is limited to 2 MB. */
const MAX_TALLIES = 2_000
/** How many tokens one pass checks, the latest first: a busy system mints more than can be checked. */
const PASS_MINTS = 10_000

export interface DriftMemory {
  get<T>(name: string): Promise<T | undefined>
  put(name: string, value: unknown): Promise<void>
}

/** The next published documents of an environment: the wrong ones, and where to continue; `null`: no more. */
export interface PublishedPage {
  readonly wrong: readonly WrongDocument[]
  readonly read: number
  readonly next: string | null
}

export interface DriftOptions extends Omit<Scope, 'now'> {
  /** SQL statements sent so far. */
  readonly statements: () => number
  readonly clock: () => number
  readonly published: (environment: string, cursor: string, limit: number) => Promise<PublishedPage>
  /** Contracts that are not what the mappings of now make of them. */
  readonly misderived?: (organizations: readonly string[]) => Promise<readonly Misderived[]>
  /** Events that nobody has looked at. */
  readonly quarantine?: () => Promise<Quarantine>
  readonly memory: DriftMemory
}

const STAGES = ['catalog', 'organizations', 'grants', 'published', 'mints'] as const
type Stage = (typeof STAGES)[number]

interface Pass {
  readonly started_at: string
  readonly stage: Stage
  /** In the stage `published`: the current environment. */
  readonly environment: number
  readonly cursor: string
  readonly findings: number
  readonly organizations: number
  readonly documents: number
  readonly mints: number
  readonly mints_skipped: number
  readonly tallies: readonly Tally[]
}

type Done = NonNullable<DriftProgress['last']>

export class DriftRunner {
  readonly #options: DriftOptions
  #running: Promise<void> | undefined

  constructor(options: DriftOptions) {
    this.#options = options
  }

  /** Starts a pass. If one is running, another one follows it. */
  async start(): Promise<DriftProgress> {
    const { memory } = this.#options
    if (await memory.get<Pass | null>('pass')) await memory.put('again', true)
    else await this.#begin()
    return this.progress()
  }

  async progress(): Promise<DriftProgress> {
    const { memory } = this.#options
    const [pass, last] = await Promise.all([
      memory.get<Pass | null>('pass'),
      memory.get<DriftProgress['last']>('last'),
    ])
    return {
      running: pass
        ? { started_at: pass.started_at, stage: pass.stage, organizations: pass.organizations }
        : null,
      last: last ?? null,
    }
  }

  /** Continues the pass, or starts one when it is due. One at a time. */
  async tick(): Promise<void> {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined
    })
    await this.#running
  }

  async #work(): Promise<void> {
    const { clock, statements, memory } = this.#options
    const until = clock() + WORK_MS
    const sent = statements()
    let pass = (await memory.get<Pass | null>('pass')) ?? (await this.#beginIfDue())
    while (pass && clock() < until && statements() - sent < WORK_STATEMENTS) {
      pass = await this.#step(pass)
      await memory.put('pass', pass ?? null)
    }
  }

  async #beginIfDue(): Promise<Pass | undefined> {
    const { clock, memory } = this.#options
    const [last, again] = await Promise.all([memory.get<Done>('last'), memory.get<boolean>('again')])
    const due = !last || again || clock() >= Date.parse(last.started_at) + PASS_EVERY_MS
    return due ? this.#begin() : undefined
  }

  async #begin(): Promise<Pass> {
    const { memory } = this.#options
    const counts = { findings: 0, organizations: 0, documents: 0, mints: 0, mints_skipped: 0 }
    const pass: Pass = {
      started_at: this.#instant(),
      stage: 'catalog',
      environment: 0,
      cursor: '',
      ...counts,
      tallies: [],
    }
    await memory.put('pass', pass)
    await memory.put('again', false)
    return pass
  }

  /** @returns the next position of the pass; `undefined`: it is complete */
  async #step(pass: Pass): Promise<Pass | undefined> {
    switch (pass.stage) {
      case 'catalog':
        return this.#catalog(pass)
      case 'organizations':
        return this.#organizations(pass)
      case 'grants':
        return this.#grants(pass)
      case 'published':
        return this.#published(pass)
      case 'mints':
        return this.#mints(pass)
    }
  }

  async #catalog(pass: Pass): Promise<Pass> {
    const found = catalogFindings(await readCatalogRows(this.#scope()))
    const quarantine = await this.#options.quarantine?.()
    return this.#next(pass, [...found, ...(quarantine ? quarantineFindings(quarantine) : [])])
  }

  async #organizations(pass: Pass): Promise<Pass> {
    const scope = this.#scope()
    const strict = await strictEnvironments(scope)
    const rows = await readOrganizations(scope, strict, pass.cursor, PAGE.organizations)
    const found = organizationFindings(rows)
    const misderived = misderivedFindings((await this.#options.misderived?.(rows.organizations)) ?? [])
    const tallies = new Map(pass.tallies.map((tally) => [tally.finding.id, tally]))
    for (const tally of found.tallies) add(tallies, tally)
    const read = rows.organizations
    const after = {
      ...pass,
      tallies: [...tallies.values()].slice(0, MAX_TALLIES),
      organizations: pass.organizations + read.length,
    }
    if (read.length === PAGE.organizations)
      return this.#stay(after, [...found.findings, ...misderived], read.at(-1) ?? '')
    const ofMany = after.tallies.map(tallied)
    return this.#next({ ...after, tallies: [] }, [...found.findings, ...misderived, ...ofMany])
  }

  async #grants(pass: Pass): Promise<Pass> {
    const scope = this.#scope()
    const strict = await strictEnvironments(scope)
    const { grants, flags } = await readGrants(scope, strict, pass.cursor, PAGE.grants)
    const found = grantFindings(grants, flags, strict, scope.now)
    return grants.length === PAGE.grants
      ? this.#stay(pass, found, grants.at(-1)?.id ?? '')
      : this.#next(pass, found)
  }

  async #published(pass: Pass): Promise<Pass> {
    const { environments, published } = this.#options
    const environment = environments[pass.environment]
    if (environment === undefined) return this.#next(pass, [])
    const page = await published(environment, pass.cursor, PAGE.documents)
    const found =
      page.wrong.length === 0
        ? []
        : publishedFindings(page.wrong, await readContext(this.#scope(), environment))
    const after = { ...pass, documents: pass.documents + page.read }
    if (page.next !== null) return this.#stay(after, found, page.next)
    return this.#stay({ ...after, environment: pass.environment + 1 }, found, '')
  }

  async #mints(pass: Pass): Promise<Pass | undefined> {
    const { db, memory } = this.#options
    let position = (await memory.get<number>('mints')) ?? 0
    let skipped = 0
    if (pass.cursor === '') {
      const { last, left } = await mintsLeft(db, position)
      position = last - Math.min(left, PASS_MINTS)
      skipped = left - Math.min(left, PASS_MINTS)
    }
    const mints = await mintsAfter(db, position, PAGE.mints)
    const found = await mintFindings(db, mints)
    await this.#keep(found)
    await memory.put('mints', mints.at(-1)?.position ?? position)
    const after = {
      ...pass,
      cursor: 'on',
      mints: pass.mints + mints.length,
      findings: pass.findings + found.length,
      mints_skipped: pass.mints_skipped + skipped,
    }
    if (mints.length === PAGE.mints && after.mints < PASS_MINTS) return after
    await this.#complete(after)
    return undefined
  }

  async #complete({ started_at, findings, organizations, documents, mints, mints_skipped }: Pass) {
    const { db, clock, memory } = this.#options
    await resolveUnseen(db, started_at, clock())
    const last: Done = {
      started_at,
      completed_at: this.#instant(),
      findings,
      organizations,
      documents,
      mints,
      mints_skipped,
    }
    await memory.put('last', last)
  }

  async #stay(pass: Pass, found: readonly Finding[], cursor: string): Promise<Pass> {
    await this.#keep(found)
    return { ...pass, cursor, findings: pass.findings + found.length }
  }

  async #next(pass: Pass, found: readonly Finding[]): Promise<Pass> {
    const stage = STAGES[STAGES.indexOf(pass.stage) + 1] ?? 'mints'
    return { ...(await this.#stay(pass, found, '')), stage }
  }

  #keep(found: readonly Finding[]): Promise<void> {
    return keepFindings(this.#options.db, found, this.#instant())
  }

  #scope(): Scope {
    const { db, environments, owners, clock } = this.#options
    return { db, environments, owners, now: clock() }
  }

  #instant(): string {
    return new Date(this.#options.clock()).toISOString()
  }
}
