/** Drift under test: the real runner with real D1 and KV, on the test's clock, behind the real API. */
import { connect } from '../../../src/control/db/client.ts'
import { DriftRunner } from '../../../src/control/drift/runner.ts'
import { readBackAfter } from '../../../src/control/publish/read_back.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

const MINUTE_MS = 60_000

export interface SetUpOptions {
  readonly overrides?: Record<string, unknown>
  readonly owners?: readonly string[]
}

export async function setUpDrift({ overrides = {}, owners }: SetUpOptions = {}) {
  const memory = new Map<string, unknown>()
  const { db, statements } = connect(bindings.DB)
  let control: ControlUnderTest | undefined
  const clock = () => control?.clock.now ?? 0
  const runner = new DriftRunner({
    ...{ db, statements, clock, environments: ['staging', 'production'] },
    owners: owners && new Set(owners),
    published: (environment, cursor, limit) =>
      readBackAfter(
        { db, kv: bindings.ENTITLEMENTS, environment, now: clock(), lateAfterMs: 10 * MINUTE_MS },
        cursor,
        limit,
      ),
    memory: {
      get: async <T>(name: string) => structuredClone(memory.get(name)) as T | undefined,
      put: async (name, value) => void memory.set(name, structuredClone(value)),
    },
  })
  const scheduler = {
    wakeAt: async () => {},
    tick: async () => {},
    startDrift: () => runner.start(),
    driftProgress: () => runner.progress(),
    checkDrift: () => runner.tick(),
  }
  control = await setUp({ SCHEDULER: { getByName: () => scheduler }, ...overrides })
  const made = control
  return {
    ...made,
    runner,
    statements,
    memory,
    /** Looks at everything, once what is published has settled. */
    async pass(): Promise<void> {
      await made.published()
      made.clock.now += 5 * MINUTE_MS
      await runner.start()
      await finish(runner)
    },
    finish: () => finish(runner),
    /** Publishes what was changed by SQL, which leaves nothing to publish. */
    async rebuilt(): Promise<void> {
      await made.published()
      for (const name of ['staging', 'production']) await rebuildAll(name)
    },
    async findings(query = ''): Promise<Found[]> {
      return (await made.get(`/drift?limit=200${query}`)).body.data
    },
    /** Runs what a finding says would repair it. */
    async repair({ repair }: Pick<Found, 'repair'>): Promise<void> {
      const rebuild = /^npm run rebuild -- --environment (\S+)$/.exec(repair)
      if (rebuild) return rebuildAll(rebuild[1] ?? '')
      const [, method = '', path = '', revision, body = '{}'] =
        /^([A-Z]+) \/api\/v1(\S+)(?: If-Match: "(\d+)")? (\{.*\})$/.exec(repair) ?? []
      await made.must(method, path, JSON.parse(body), revision === undefined ? undefined : Number(revision))
    },
  }
}

export interface Found {
  readonly id: string
  readonly kind: string
  readonly severity: string
  readonly environment: string | null
  readonly org: string | null
  readonly flag: string | null
  readonly evidence: Record<string, unknown>
  readonly repair: string
  readonly state: string
  readonly first_seen: string
  readonly last_seen: string
  readonly resolved_at: string | null
}

async function finish(runner: DriftRunner): Promise<void> {
  for (let ticks = 0; ticks < 50; ticks++) {
    await runner.tick()
    if ((await runner.progress()).running === null) return
  }
  throw new Error('the pass does not end')
}

async function rebuildAll(environment: string): Promise<void> {
  const publisher = bindings.PUBLISHER.getByName(environment)
  await publisher.rebuild(environment)
  for (let tries = 0; tries < 100; tries++) {
    const progress = await publisher.progress(environment)
    if (progress?.finished_at) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the rebuild does not end')
}

export type DriftUnderTest = Awaited<ReturnType<typeof setUpDrift>>

/** A system of some variety in which everything is as it should be. */
export async function seedClean(drift: DriftUnderTest): Promise<void> {
  const { must, liveFlag } = drift
  const past = new Date(drift.clock.now - 90 * 86_400_000).toISOString()
  await liveFlag('reports')
  await liveFlag('exports')
  await liveFlag('help', { access: 'all' })
  await liveFlag('editor', { access: 'some', percentage: 25 }, { kind: 'rollout', no_plan_reason: undefined })
  for (const flag of ['reports', 'exports']) {
    await must('PUT', `/flags/${flag}/rules/staging`, { access: 'some' }, 0)
  }
  await must('POST', '/flags', { key: 'draft', name: 'draft', kind: 'rollout', owner: 'team-a' })
  await must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await must('POST', '/plans', { key: 'business', name: 'Business', flags: ['exports', 'reports'] })
  for (const org of ['org_a', 'org_b', 'org_c', 'org_d']) await must('POST', '/orgs', { id: org, name: org })
  const contract = (org: string, id: string, body: object) =>
    must('PUT', `/orgs/${org}/contracts/${id}`, { status: 'active', from: past, revision: 1, ...body })
  await contract('org_a', 'C-a', { plan: 'team' })
  await contract('org_b', 'C-b', { plan: 'business', status: 'past_due' })
  await contract('org_c', 'C-c', { plan: 'team', status: 'cancelled', to: drift.in(-10) })
  await contract('org_d', 'C-d', { plan: null, status: 'trialing', add: ['exports'], to: drift.in(20) })
  const grant = (id: string, flag: string, source: string, body: object = {}, kind = 'org') =>
    must('POST', '/grants', {
      ...{ environment: 'production', subject: { kind, id }, flag, source, to: drift.in(30) },
      ...body,
    })
  await grant('org_c', 'reports', 'support', { ticket: 'SUP-1' })
  await grant('org_c', 'editor', 'beta')
  await grant('org_c', 'exports', 'import')
  await grant('org_a', 'reports', 'import', { to: null })
  await grant('user_u', 'exports', 'override', { ticket: 'SUP-2' }, 'user')
  await grant('org_d', 'reports', 'override', { effect: 'deny', ticket: 'SUP-3' })
  const ended = await grant('org_d', 'help', 'support', { ticket: 'SUP-4' })
  await must('POST', `/grants/${ended.data.id}/revoke`, {})
}
