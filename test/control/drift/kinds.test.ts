/**
 * Each kind of drift is planted in a system that is otherwise clean: it is found, nothing else is, and the finding's repair
 * works.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { evaluate } from '../../../src/core/evaluate.ts'
import { bindings } from '../support/control.ts'
import { type DriftUnderTest, type Found, seedClean, setUpDrift } from './support.ts'

let drift: DriftUnderTest
beforeEach(async () => {
  drift = await setUpDrift({ seed: seedClean })
}, 30_000)

const sqlite = (text: string, ...values: unknown[]) =>
  bindings.DB.prepare(text)
    .bind(...values)
    .run()

const grant = (body: Record<string, unknown>) =>
  drift.must('POST', '/grants', {
    ...{ environment: 'production', subject: { kind: 'org', id: 'org_c' }, flag: 'reports' },
    ...body,
  })

const brief = ({ kind, severity, environment, org, flag }: Found) =>
  [kind, severity, environment ?? '-', org ?? '-', flag ?? '-'].join(' ')

/** A document in KV, changed by hand. */
async function tamper(key: string, change: (document: never) => unknown): Promise<void> {
  await drift.published()
  const document = await bindings.ENTITLEMENTS.get(key, 'json')
  await bindings.ENTITLEMENTS.put(key, JSON.stringify(change(document as never)))
}

async function retire(flag: string): Promise<void> {
  for (const environment of ['staging', 'production']) {
    const path = `/flags/${flag}/rules/${environment}`
    await drift.must('PUT', path, { access: 'none' }, (await drift.get(path)).body.revision)
  }
  await drift.must('POST', `/flags/${flag}/state`, { state: 'retiring' }, 2)
  await drift.must('POST', `/flags/${flag}/state`, { state: 'retired' }, 3)
}

async function mint(org: string | null, flags: string[], about: Record<string, unknown> = {}): Promise<void> {
  await drift.published()
  const [catalog, document] = [await drift.catalog(), org ? await drift.org(org) : null]
  const row = {
    ...{ jti: crypto.randomUUID(), environment: 'production', org, sub: 'user_x', src: 'fresh' },
    ...{ ver: `${catalog?.version ?? 0}.${document?.version ?? 0}`, at: drift.clock.now, ...about },
  }
  await sqlite(
    `INSERT INTO mints (jti, environment, org, sub, flags, ver, src, minted_at, expires_at, request_id)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'test')`,
    ...[row.jti, row.environment, row.org, row.sub, JSON.stringify(flags), row.ver, row.src],
    ...[new Date(row.at).toISOString(), new Date(row.at + 300_000).toISOString()],
  )
}

/** The flags of a token of the organization that is minted now. */
async function due(org: string): Promise<string[]> {
  await drift.published()
  const catalog = await drift.catalog()
  if (!catalog) throw new Error('no catalog')
  return [...evaluate(catalog, { orgId: org, org: await drift.org(org) }, drift.clock.now).flags]
}

async function promoted(flag: string): Promise<void> {
  const { seq, hash } = (await bindings.DB.prepare(
    'SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1',
  ).first()) as { seq: number; hash: string }
  await sqlite(
    `INSERT INTO audit (seq, at, actor, action, entity, environment, flag, before, after, effect, reason, request_id, prev, hash)
     VALUES (?, ?, 'user:a', 'rule.promote', ?, 'production', ?, '{}', '{}', '{}', 'r', 'q', ?, 'h')`,
    ...[seq + 1, new Date(drift.clock.now).toISOString(), `rule:production:${flag}`, flag, hash],
  )
}

interface Plant {
  readonly name: string
  readonly plant: () => Promise<unknown>
  /** Kind, severity, environment, organization, flag. */
  readonly found: readonly string[]
  readonly evidence?: Record<string, unknown>
  /** What is still open after the first repair, if one command does not undo everything. */
  readonly left?: readonly string[]
}

const PLANTS: Plant[] = [
  {
    name: 'a grant without an end, to an organization without a contract',
    plant: () => grant({ source: 'import', to: null }),
    found: ['granted_without_contract over_grant production org_c reports'],
    evidence: { source: 'import', org: 'org_c' },
  },
  {
    name: 'a grant without an end, to a user',
    plant: () => grant({ source: 'import', to: null, subject: { kind: 'user', id: 'user_v' } }),
    found: ['granted_without_contract over_grant production - reports'],
    evidence: { user: 'user_v' },
  },
  {
    name: 'a sold flag that its rule gives to everybody',
    async plant() {
      await drift.must('PUT', '/flags/exports/rules/production', { access: 'all' }, 1)
      await drift.must('PUT', '/flags/exports/rules/staging', { access: 'all' }, 1)
    },
    found: ['granted_without_contract over_grant production - exports'],
    evidence: { because: 'rule_all', organizations: 2, examples: ['org_a', 'org_c'] },
    // The environment before has been opened too.
    left: ['environments_differ metadata production - exports'],
  },
  {
    name: 'a kill of what is paid for',
    plant: () => drift.must('POST', '/flags/reports/rules/production/kill', {}),
    found: ['contract_without_access under_grant production - reports'],
    evidence: { because: 'killed', organizations: 2, examples: ['org_a', 'org_b'] },
  },
  {
    name: 'a rule that closes what is paid for',
    async plant() {
      for (const name of ['staging', 'production']) {
        await drift.must('PUT', `/flags/exports/rules/${name}`, { access: 'none' }, 1)
      }
    },
    found: ['contract_without_access under_grant production - exports'],
    evidence: { because: 'rule_none', organizations: 2 },
    left: ['environments_differ metadata production - exports'],
  },
  {
    name: 'a denial of what is paid for',
    plant: () =>
      grant({
        ...{ subject: { kind: 'org', id: 'org_b' }, effect: 'deny', source: 'override' },
        ...{ ticket: 'T-1', to: drift.in(5) },
      }),
    found: ['contract_without_access under_grant production org_b reports'],
    evidence: { because: 'denied', contract: 'C-b' },
  },
  {
    name: 'a contract that is published as in force, and is not',
    plant: () =>
      tamper('org:production:org_c', (document: { contracts: object[] }) => ({
        ...document,
        contracts: [
          { id: 'C-c', plan: 'business', status: 'active', from: '2026-01-01T00:00:00Z', to: null, add: [] },
        ],
      })),
    found: [
      'expired_contract_granting over_grant production org_c -',
      'kv_out_of_step metadata production org_c -',
    ],
    evidence: { contract: 'C-c', published: { status: 'active', to: null }, recorded: null },
  },
  {
    name: 'a contract that still says that it holds, after its end',
    plant: () =>
      drift.must('PUT', '/orgs/org_c/contracts/C-old', {
        ...{ plan: 'team', status: 'active', from: drift.in(-60), to: drift.in(-2), revision: 4 },
      }),
    found: ['expired_contract_granting metadata - org_c -'],
    evidence: { contract: 'C-old', status: 'active' },
  },
  {
    name: 'an override that names no ticket',
    plant: () => grant({ source: 'override', to: drift.in(5) }),
    found: ['override_ended_or_unticketed metadata production org_c reports'],
    evidence: { because: 'no_ticket', source: 'override' },
  },
  {
    name: 'an override past its end that is still published',
    plant: () =>
      tamper('org:production:org_c', (document: { grants: object[] }) => ({
        ...document,
        grants: [
          ...document.grants,
          {
            ...{ id: 'grant_old', flag: 'exports', effect: 'allow', source: 'override' },
            ...{ from: '2026-01-01T00:00:00.000Z', to: null },
          },
        ],
      })),
    found: [
      'override_ended_or_unticketed over_grant production org_c exports',
      'kv_out_of_step metadata production org_c -',
    ],
    evidence: { because: 'ended', grant: 'grant_old' },
  },
  {
    name: 'an entitlement whose rule differs between two environments',
    plant: () => drift.must('PUT', '/flags/reports/rules/staging', { access: 'all' }, 1),
    found: ['environments_differ metadata production - reports'],
    evidence: {
      staging: { access: 'all', percentage: null },
      production: { access: 'some', percentage: null },
    },
  },
  {
    name: 'a promoted rule whose source has moved on',
    async plant() {
      await promoted('reports')
      await drift.must('PUT', '/flags/reports/rules/staging', { access: 'some', percentage: 10 }, 1)
    },
    found: ['promoted_rule_moved metadata production - reports'],
    evidence: { from: 'staging', staging: { access: 'some', percentage: 10 } },
    // As it was asked for: a tenth of all have now what others pay for.
    left: [],
  },
  {
    name: 'a contract whose plan is not there',
    async plant() {
      await sqlite(`UPDATE contracts SET plan = 'gone' WHERE id = 'C-a'`)
      await drift.rebuilt()
    },
    found: [
      'granted_without_contract over_grant production org_a reports',
      'plan_contract_mismatch under_grant - org_a -',
    ],
    // Which flags it should have is for people to say.
    left: ['granted_without_contract over_grant production org_a reports'],
  },
  {
    name: 'an add-on that is no flag',
    async plant() {
      await sqlite(`UPDATE contracts SET "add" = '["exports","unknown"]' WHERE id = 'C-d'`)
      await drift.rebuilt()
    },
    found: ['plan_contract_mismatch under_grant - org_d unknown'],
    evidence: { contract: 'C-d', state: 'unknown' },
  },
  {
    name: 'a plan that holds a draft',
    async plant() {
      await drift.must('PATCH', '/plans/team', { flags: ['draft', 'reports'] }, 1)
    },
    found: ['plan_contract_mismatch metadata - - draft'],
    evidence: { plan: 'team', state: 'draft' },
    // It is live from then on, without a rule.
    left: ['contract_without_access under_grant production - draft'],
  },
  {
    name: 'a document that gives more than it should',
    plant: () =>
      tamper('org:production:org_a', (document: { contracts: { plan: string }[] }) => ({
        ...document,
        contracts: document.contracts.map((contract) => ({ ...contract, plan: 'business' })),
      })),
    found: ['kv_out_of_step over_grant production org_a -'],
    evidence: { document: 'org:production:org_a', state: 'different', extra: ['exports'], missing: [] },
  },
  {
    name: 'a document that is not there',
    plant: async () => {
      await drift.published()
      await bindings.ENTITLEMENTS.delete('org:production:org_a')
    },
    found: ['kv_out_of_step under_grant production org_a -'],
    evidence: { state: 'missing', extra: [], missing: ['reports'] },
  },
  {
    name: 'a catalog that lets in more than it should',
    plant: () =>
      tamper('catalog:production', (document: { flags: object }) => ({
        ...document,
        flags: { ...document.flags, reports: { kind: 'entitlement', access: 'all' } },
      })),
    found: ['kv_out_of_step over_grant production - -'],
    evidence: { extra: ['reports'], missing: [] },
  },
  {
    name: 'a document that nobody can read',
    plant: async () => {
      await drift.published()
      await bindings.ENTITLEMENTS.put('user:production:user_u', '{')
    },
    found: ['kv_out_of_step under_grant production - -'],
    evidence: { document: 'user:production:user_u', state: 'unreadable', missing: ['exports'] },
  },
  {
    name: 'a grant of a flag that is retired',
    plant: () => retire('editor'),
    found: ['retired_flag_granted metadata production org_c editor'],
    evidence: { source: 'beta', org: 'org_c' },
  },
  {
    name: 'a plan and an add-on with a flag that is retired',
    async plant() {
      await retire('exports')
      for (const { id } of (await drift.get('/grants?flag=exports&active=true')).body.data) {
        await drift.must('POST', `/grants/${id}/revoke`, {})
      }
    },
    found: ['retired_flag_granted metadata - - exports', 'retired_flag_granted metadata - org_d exports'],
  },
  {
    name: 'a catalog that still has a flag that is retired',
    async plant() {
      await drift.published()
      const before = await drift.catalog()
      await drift.must('POST', '/flags/draft/state', { state: 'live' }, 1)
      await drift.must('POST', '/flags/draft/state', { state: 'retiring' }, 2)
      await drift.must('POST', '/flags/draft/state', { state: 'retired' }, 3)
      await tamper('catalog:production', () => ({
        ...before,
        flags: { ...before?.flags, draft: { kind: 'rollout', access: 'all' } },
      }))
    },
    found: ['kv_out_of_step over_grant production - -', 'retired_flag_granted over_grant production - draft'],
  },
]

describe('planted and found:', () => {
  test.each(PLANTS)('$name', async ({ plant, found, evidence, left = [] }) => {
    await plant()
    await drift.pass()
    const open = await drift.findings()
    expect(open.map(brief).sort()).toEqual([...found].sort())
    if (evidence) {
      const one = open.find((candidate) => brief(candidate) === found[0])
      expect(one?.evidence).toMatchObject(evidence)
    }
    for (const one of open.filter((candidate) => !left.includes(brief(candidate)))) await drift.repair(one)
    await drift.pass()
    expect((await drift.findings()).map(brief)).toEqual(left)
    const resolved = await drift.findings('&state=resolved')
    expect(resolved.map(({ id }) => id)).toEqual(
      expect.arrayContaining(open.filter((one) => !left.includes(brief(one))).map(({ id }) => id)),
    )
  })
})

describe('a token', () => {
  test('that held too much or too little is found, and what was due is not', async () => {
    await mint('org_a', await due('org_a'))
    await mint('org_a', [...(await due('org_a')), 'exports'].sort())
    await mint(
      'org_b',
      (await due('org_b')).filter((flag) => flag !== 'reports'),
    )
    await drift.pass()
    const open = await drift.findings()
    expect(open.map(brief)).toEqual([
      'minted_claim_disagrees over_grant production org_a exports',
      'minted_claim_disagrees under_grant production org_b reports',
    ])
    await drift.repair(open[0] as Found)
    expect((await drift.get('/orgs/org_a')).body.not_before).toBeGreaterThan(0)
  })

  test('is judged by the documents of its time, whatever changed since', async () => {
    const [before, a] = [await due('org_c'), await due('org_a')]
    await mint('org_c', before)
    await mint('org_a', a)
    await mint(null, ['help'], {
      sub: 'user_u',
      ver: `${(await drift.catalog())?.version}.0`,
      src: 'degraded',
    })
    for (const { id } of (await drift.get('/grants?org=org_c&active=true')).body.data) {
      await drift.must('POST', `/grants/${id}/revoke`, {})
    }
    await drift.must('POST', '/flags/help/rules/production/kill', {})
    await drift.must('PATCH', '/plans/team', { flags: ['exports', 'reports'] }, 1)
    await mint('org_c', await due('org_c'))
    await drift.pass()
    expect(await drift.findings('&kind=minted_claim_disagrees')).toEqual([])
  })

  test('that was wrong is reported for a day, although it cannot be minted again', async () => {
    await mint('org_a', [])
    await drift.pass()
    await drift.pass()
    expect((await drift.findings()).length).toBeGreaterThan(0)
    drift.clock.now += 86_400_000
    await drift.pass()
    expect(await drift.findings()).toEqual([])
  })
})

describe('an owner', () => {
  test('who is not on the list is gone', async () => {
    drift = await setUpDrift({ owners: ['team-b'] })
    await drift.liveFlag('reports')
    await drift.pass()
    const [found, ...others] = await drift.findings()
    expect(others).toEqual([])
    expect(brief(found as Found)).toBe('owner_gone metadata - - reports')
    await drift.repair({ repair: found?.repair.replace('NEW_OWNER', 'team-b') ?? '' })
    await drift.pass()
    expect(await drift.findings()).toEqual([])
  })

  test('of whom nothing was heard for half a year is gone, where there is no list', async () => {
    await drift.liveFlag('search', { access: 'some' }, { owner: 'user:gone' })
    await drift.liveFlag('chat', { access: 'some' }, { owner: 'user:admin' })
    await drift.pass()
    expect(await drift.findings()).toEqual([])
    drift.clock.now += 200 * 86_400_000
    await drift.must('POST', '/orgs', { id: 'org_new', name: 'New' })
    await drift.pass()
    const found = await drift.findings('&kind=owner_gone')
    expect(found.map(({ flag, evidence }) => [flag, evidence])).toEqual([['search', { owner: 'user:gone' }]])
  })
})

test('nothing is found where everything is as it should be', async () => {
  for (const org of ['org_a', 'org_b', 'org_c', 'org_d']) await mint(org, await due(org))
  await drift.pass()
  const { body } = await drift.get('/drift')
  expect(body.data).toEqual([])
  expect(body.open).toEqual({ over_grant: 0, under_grant: 0, metadata: 0 })
  expect(body.pass.last).toMatchObject({ findings: 0, organizations: 4, mints: 4, mints_skipped: 0 })
  expect(body.pass.last.documents).toBeGreaterThan(8)
  expect(body.summary).toContain('Nothing is open')
})
