/** Drift under test: the real runner with real D1 and KV, on the test's clock, behind the real API. */
import { runDurableObjectAlarm } from 'cloudflare:test'
import { readQuarantine } from '../../../src/control/contract_sync/quarantine.ts'
import { misderived } from '../../../src/control/contract_sync/rederive.ts'
import { connect } from '../../../src/control/db/client.ts'
import { DriftRunner } from '../../../src/control/drift/runner.ts'
import { readBackAfter } from '../../../src/control/publish/read_back.ts'
import { eventually } from '../../support/eventually.ts'
import { bindings, type ControlUnderTest, type Seed, setUp } from '../support/control.ts'
import { invocation, underLimits } from '../support/limits.ts'
import { insertRows } from '../support/rows.ts'

const MINUTE_MS = 60_000

export interface SetUpOptions {
  readonly overrides?: Record<string, unknown>
  readonly owners?: readonly string[]
  readonly seed?: Seed
}

export async function setUpDrift({ overrides = {}, owners, seed }: SetUpOptions = {}) {
  const memory = new Map<string, unknown>()
  const { db, statements } = connect(underLimits(bindings).DB)
  let control: ControlUnderTest | undefined
  const clock = () => control?.clock.now ?? 0
  const runner = new DriftRunner({
    ...{ db, statements, clock, environments: ['staging', 'production'] },
    owners: owners && new Set(owners),
    misderived: (organizations) => misderived(db, organizations, clock()),
    quarantine: () => readQuarantine(db),
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
    checkDrift: () => invocation(() => runner.tick()),
  }
  control = await setUp({ SCHEDULER: { getByName: () => scheduler }, ...overrides }, seed && { seed })
  const made = control
  return {
    ...made,
    runner,
    statements,
    memory,
    /** Runs a pass after publishing has settled. */
    async pass(): Promise<void> {
      await made.published()
      made.clock.now += 5 * MINUTE_MS
      await runner.start()
      await finish(runner)
    },
    finish: () => finish(runner),
    rebuilt: () => rebuilt(made),
    async findings(query = ''): Promise<Found[]> {
      return (await made.get(`/drift?limit=200${query}`)).body.data
    },
    /** Runs the repair of a finding. */
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
    await invocation(() => runner.tick())
    if ((await runner.progress()).running === null) return
  }
  throw new Error('the pass does not end')
}

/** Publishes what was changed by SQL, which leaves nothing to publish. */
async function rebuilt(control: ControlUnderTest): Promise<void> {
  await control.published()
  for (const name of ['staging', 'production']) await rebuildAll(name)
}

async function rebuildAll(environment: string): Promise<void> {
  const publisher = bindings.PUBLISHER.getByName(environment)
  await publisher.rebuild(environment)
  await eventually(async () => {
    // Its alarm may be waiting for that of an earlier test, which was cut off.
    await runDurableObjectAlarm(publisher)
    return (await publisher.progress(environment))?.finished_at ?? undefined
  }, 'the end of the rebuild')
}

export type DriftUnderTest = Awaited<ReturnType<typeof setUpDrift>>

/**
 * A system of some variety in which everything is as it should be. All but the first row comes in by SQL, which takes a
 * tenth of the time.
 */
export async function seedClean(control: ControlUnderTest): Promise<void> {
  await control.must('POST', '/orgs', { id: 'org_a', name: 'org_a' })
  const at = new Date(control.clock.now - 90 * 86_400_000).toISOString()
  const marks = { created_at: at, updated_at: new Date(control.clock.now).toISOString(), revision: 1 }
  const flag = (key: string, about: object = {}) => ({
    ...{ key, name: key, description: '', kind: 'entitlement', owner: 'team-a', tags: '[]', state: 'live' },
    ...{ no_plan_reason: 'a test', extensions: 0, ...marks, revision: 2, ...about },
  })
  const rule = (key: string, environment: string, access: string, percentage: number | null = null) => ({
    ...{ flag: key, environment, access, percentage, killed: 0 },
    ...{ updated_at: marks.updated_at, revision: 1 },
  })
  const plan = (key: string, flags: string[]) => ({
    ...{ key, name: key, description: '', flags: JSON.stringify(flags), grace_days: 7, ...marks },
  })
  const contract = (org: string, about: object) => ({
    ...{ id: org.replace('org_', 'C-'), org, status: 'active', from: at, add: '[]', source: 'api' },
    ...{ updated_at: at, revision: 1, ...about },
  })
  let grants = 0
  const grant = (subject_id: string, key: string, source: string, about: object = {}) => ({
    ...{ id: `grant_${++grants}`, environment: 'production', subject_id, flag: key, source, reason: 'r' },
    ...{ subject_kind: subject_id.startsWith('org_') ? 'org' : 'user', effect: 'allow', from: at },
    ...{ to: control.in(30), created_by: 'user:a', ...marks, ...about },
  })
  await insertRows(bindings, {
    flags: [
      ...[flag('reports'), flag('exports'), flag('help')],
      flag('editor', { kind: 'rollout', no_plan_reason: null, retire_by: control.in(40) }),
      flag('draft', { kind: 'rollout', no_plan_reason: null, state: 'draft', revision: 1 }),
    ],
    rules: [
      ...['staging', 'production'].flatMap((name) => [
        rule('reports', name, 'some'),
        rule('exports', name, 'some'),
      ]),
      rule('help', 'production', 'all'),
      rule('editor', 'production', 'some', 25),
    ],
    plans: [plan('team', ['reports']), plan('business', ['exports', 'reports'])],
    organizations: ['org_b', 'org_c', 'org_d'].map((id) => ({ id, name: id, not_before: 0, ...marks })),
    contracts: [
      contract('org_a', { plan: 'team' }),
      contract('org_b', { plan: 'business', status: 'past_due', grace_until: control.in(7) }),
      contract('org_c', { plan: 'team', status: 'cancelled', to: control.in(-10) }),
      contract('org_d', { status: 'trialing', add: '["exports"]', to: control.in(20) }),
    ],
    grants: [
      grant('org_c', 'reports', 'support', { ticket: 'SUP-1' }),
      grant('org_c', 'editor', 'beta'),
      grant('org_c', 'exports', 'import'),
      grant('org_a', 'reports', 'import', { to: null }),
      grant('user_u', 'exports', 'override', { ticket: 'SUP-2' }),
      grant('org_d', 'reports', 'override', { effect: 'deny', ticket: 'SUP-3' }),
      grant('org_d', 'help', 'support', {
        to: control.in(-1),
        revoked_at: control.in(-1),
        revoked_by: 'user:a',
      }),
    ],
  })
  await rebuilt(control)
}
