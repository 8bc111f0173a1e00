/**
 * A control plane under test: the real app with real D1, KV and Durable Objects, operators with real keys, and time in
 * the hands of the test. Publishers run on the real clock, inside their Durable Objects.
 */
import { type applyD1Migrations, createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { createControl } from '../../../src/control/app.ts'
import type { ControlBindings } from '../../../src/control/config.ts'
import type { Role } from '../../../src/control/roles.ts'
import type { Publisher, Scheduler } from '../../../src/control/worker.ts'
import {
  type Catalog,
  catalogKey,
  type OrgDocument,
  orgKey,
  type UserDocument,
  userKey,
} from '../../../src/core/documents.ts'
import { eventually } from '../../support/eventually.ts'
import { invocation, underLimits } from './limits.ts'
import { AUDIENCE, ISSUER, makeOperators, TEAM, TEAM_AUDIENCE } from './operators.ts'
import { copy, empty, restore, type Snapshot } from './rows.ts'
import { edges } from './worker.ts'

type Migrations = Parameters<typeof applyD1Migrations>[1]

export interface TestBindings extends Omit<ControlBindings, 'PUBLISHER' | 'SCHEDULER'> {
  PUBLISHER: DurableObjectNamespace<Publisher>
  SCHEDULER: DurableObjectNamespace<Scheduler>
  MIGRATIONS: Migrations
}

export const bindings = {
  ...(env as unknown as TestBindings),
  ENVIRONMENTS: 'staging,production',
  OIDC_ISSUER: ISSUER,
  OIDC_AUDIENCE: AUDIENCE,
  ACCESS_TEAM_DOMAIN: TEAM,
  ACCESS_AUDIENCE: TEAM_AUDIENCE,
  ACCESS_ROLES: 'vera@example.com=viewer,ada@example.com=editor|approver',
}

export const DAY_MS = 86_400_000

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // Tests look at single members of answers of every shape.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  readonly body: any
}

export interface RequestOptions {
  readonly role?: Role | null
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly ifMatch?: number
}

/** Where a test is not about approvals, production's policy asks for none. */
async function letProductionBe(): Promise<void> {
  await bindings.DB.prepare(
    `INSERT OR REPLACE INTO policies (environment, approvals, owner_approves, exclusive, updated_at, revision)
     VALUES ('production', 0, 0, '[]', '2026-01-01T00:00:00.000Z', 1)`,
  ).run()
}

/** What a seed has made, to be made by SQL from then on. */
const snapshots = new Map<Seed, Snapshot>()

export type Seed = (control: ControlUnderTest) => Promise<unknown>

export interface SetUpOptions {
  readonly publishing?: boolean
  readonly guarded?: boolean
  readonly fetch?: typeof fetch
  readonly seed?: Seed
}

/**
 * An empty control plane, or one with what `seed` makes in it. Everything that an earlier test of the file left is gone.
 *
 * @param options.seed - is called once, before the first test that it is for; a function of the module, as it is known by
 *   its identity
 * @param options.publishing - publish after every command, not only when the test asks for it
 * @param options.guarded - leave production's policy as it is by default: one approval
 * @param options.fetch - answers what is not asked of the operators' identity providers
 */
export async function setUp(overrides: Record<string, unknown> = {}, options: SetUpOptions = {}) {
  await empty(bindings)
  edges.publishing = options.publishing ?? false
  if (!options.guarded) await letProductionBe()
  const operators = await makeOperators()
  const clock = { now: Date.now() }
  const elsewhere = options.fetch
  const fetcher: typeof fetch = async (input, init) => {
    const answer = await operators.fetcher(input, init)
    return answer.status === 404 && elsewhere ? elsewhere(input, init) : answer
  }
  const app = createControl({ fetch: fetcher, now: () => clock.now })
  const environment = { ...underLimits(bindings), ...overrides }

  async function send(path: string, init: RequestInit): Promise<Answer> {
    const context = createExecutionContext()
    const request = new Request(`https://control.test${path}`, init)
    const response = await invocation(() => app.fetch(request, environment, context))
    const text = await response.text()
    await waitOnExecutionContext(context)
    const isJson = response.headers.get('content-type')?.includes('json')
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }

  async function call(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const { role = 'admin', body, ifMatch } = options
    const headers = new Headers(options.headers)
    if (role !== null) headers.set('authorization', `Bearer ${await operators.roleToken(role, clock.now)}`)
    if (ifMatch !== undefined) headers.set('if-match', `"${ifMatch}"`)
    if (body !== undefined) headers.set('content-type', 'application/json')
    return send(`/api/v1${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  }

  /** A write that must be accepted. */
  async function must(
    method: string,
    path: string,
    body: Record<string, unknown>,
    ifMatch?: number,
  ): Promise<Answer['body']> {
    const answer = await call(method, path, {
      body: { reason: 'a test', ...body },
      ...(ifMatch !== undefined && { ifMatch }),
    })
    if (answer.status >= 300) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    }
    return answer.body
  }

  const control = {
    app,
    clock,
    operators,
    environment,
    send,
    call,
    must,
    get: (path: string, role: Role = 'viewer') => call('GET', path, { role }),
    document: async <T>(key: string): Promise<T | null> => bindings.ENTITLEMENTS.get<T>(key, 'json'),
    catalog: (name = 'production') => bindings.ENTITLEMENTS.get<Catalog>(catalogKey(name), 'json'),
    org: (id: string, name = 'production') =>
      bindings.ENTITLEMENTS.get<OrgDocument>(orgKey(name, id), 'json'),
    user: (id: string, name = 'production') =>
      bindings.ENTITLEMENTS.get<UserDocument>(userKey(name, id), 'json'),
    /** Writes what is due. */
    async published(): Promise<void> {
      const { publishing } = edges
      edges.publishing = true
      for (const name of ['staging', 'production']) {
        await eventually(async () => {
          await bindings.PUBLISHER.getByName(name).publish(name)
          const behind = await bindings.DB.prepare(
            'SELECT 1 FROM documents WHERE environment = ? AND published_version < version LIMIT 1',
          )
            .bind(name)
            .first()
          return behind === null || undefined
        }, `what is due in ${name}`)
      }
      edges.publishing = publishing
    },
    /** The last write of each key: every write of the publisher is noted with its version. */
    async writes(): Promise<string[]> {
      const { results } = await bindings.DB.prepare(
        'SELECT key, published_version FROM documents ORDER BY key',
      ).all<{ key: string; published_version: number }>()
      return results.map(({ key, published_version }) => `${key} ${published_version}`)
    },
    auditRows: async () => (await bindings.DB.prepare('SELECT * FROM audit ORDER BY seq').all()).results,
    /** A live flag with a rule in production. */
    async liveFlag(key: string, rule: Record<string, unknown> = { access: 'some' }, flag = {}) {
      await must('POST', '/flags', {
        ...{ key, name: key, kind: 'entitlement', owner: 'team-a', no_plan_reason: 'a test' },
        ...flag,
      })
      await must('POST', `/flags/${key}/state`, { state: 'live' }, 1)
      await must('PUT', `/flags/${key}/rules/production`, rule, 0)
    },
    async organization(id: string, plan?: string) {
      await must('POST', '/orgs', { id, name: id })
      if (plan === undefined) return
      await must('PUT', `/orgs/${id}/contracts/contract-${id}`, {
        ...{ plan, status: 'active', revision: 1 },
        from: new Date(clock.now - DAY_MS).toISOString(),
      })
    },
    in: (days: number): string => new Date(clock.now + days * DAY_MS).toISOString(),
  }
  const { seed } = options
  const snapshot = seed && snapshots.get(seed)
  if (snapshot) await restore(bindings, snapshot)
  else if (seed) {
    await seed(control)
    await control.published()
    snapshots.set(seed, await copy(bindings))
  }
  return control
}

export type ControlUnderTest = Awaited<ReturnType<typeof setUp>>
