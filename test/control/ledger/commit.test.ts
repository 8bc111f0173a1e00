/**
 * The one way of every write, whatever it comes from: a command is decided once, what a policy guards becomes a change
 * request in the same attempt, and what follows a commit follows every commit and nothing else.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { COMMANDS } from '../../../src/control/app.ts'
import { type Actor, systemActor } from '../../../src/control/auth/actor.ts'
import { applyChangeCommand, openChangeCommand } from '../../../src/control/change_requests/commands.ts'
import { contractPut } from '../../../src/control/contracts/commands.ts'
import { connect } from '../../../src/control/db/client.ts'
import { mappings } from '../../../src/control/db/schema.ts'
import type { Edit } from '../../../src/control/entities/edit.ts'
import { flagCreate, flagUpdating, ruleKill, ruleSet } from '../../../src/control/flags/commands.ts'
import { grantCreate } from '../../../src/control/grants/commands.ts'
import type { Command, CommandKind } from '../../../src/control/ledger/command.ts'
import { planUpdating } from '../../../src/control/plans/commands.ts'
import { rulePromote } from '../../../src/control/promotions/commands.ts'
import { bindings, type ControlUnderTest, DAY_MS, setUp } from '../support/control.ts'
import { type LedgerUnderTest, openLedger, person } from '../support/ledger.ts'

let control: ControlUnderTest
let ledger: LedgerUnderTest
const seed = async (control: ControlUnderTest) => {
  await control.must('POST', '/plans', { key: 'team', name: 'Team', grace_days: 5 })
  await control.liveFlag('reports')
  await control.liveFlag('exports')
  await control.must('PATCH', '/plans/team', { flags: ['exports'] }, 1)
  await control.organization('org_a', 'team')
  await control.must('PUT', '/flags/exports/rules/staging', { access: 'none' }, 0)
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}
beforeEach(async () => {
  control = await setUp({}, { seed })
  ledger = openLedger(() => control.clock.now)
})

const WHY = { reason: 'a test', ticket: null }
const EDITOR = person('cleo', 'editor')
const setRule = (environment: string, access: 'some' | 'all' | 'none' = 'all') =>
  ruleSet.create({ flag: 'reports', environment, access, percentage: null }, WHY)

/** The command with a count of how often it was decided. */
function counted<E extends Edit>(command: Command<E>) {
  const count = { decided: 0 }
  const decide: Command<E>['decide'] = (facts) => {
    count.decided += 1
    return command.decide(facts)
  }
  return { command: { ...command, decide }, count }
}

const rowsOf = async (table: string) => (await bindings.DB.prepare(`SELECT * FROM ${table}`).all()).results
const requests = () => rowsOf('change_requests')

describe('what a policy guards', () => {
  const SOURCES: [string, Actor][] = [
    ['a person', EDITOR],
    ['an API key', { ...EDITOR, apiKey: '0123456789abcdef' }],
    ['the scheduler', systemActor('system:scheduler')],
    ['contract sync', systemActor('system:workos')],
    ['drift', systemActor('system:drift')],
  ]
  test.each(SOURCES)('becomes a change request of %s, and is decided once', async (_, actor) => {
    const { command, count } = counted(setRule('production'))
    const before = await rowsOf('rules')
    const committed = await ledger.commit(command, actor)
    const [request, ...others] = await requests()
    expect(committed).toMatchObject({ ok: true, value: { kind: 'needs_approval', guarded: ['production'] } })
    expect(count.decided).toBe(1)
    expect(others).toEqual([])
    expect(request).toMatchObject({
      author: actor.id,
      author_key: actor.apiKey,
      state: 'in_review',
      required: 1,
    })
    expect(await rowsOf('rules')).toEqual(before)
  })

  const COMMANDS_OF: [string, () => { kind: unknown; input: Record<string, unknown> }][] = [
    [
      'rule.set',
      () => ({
        kind: ruleSet,
        input: { flag: 'reports', environment: 'production', access: 'all', percentage: null },
      }),
    ],
    [
      'grant.create',
      () => ({
        kind: grantCreate,
        input: {
          ...{
            id: 'grant_1',
            environment: 'production',
            subject: { kind: 'org', id: 'org_a' },
            flag: 'reports',
          },
          ...{ effect: 'allow', source: 'support', to: control.in(30) },
        },
      }),
    ],
    ['plan.update', () => ({ kind: planUpdating, input: { plan: 'team', flags: ['exports', 'reports'] } })],
    [
      'contract.put',
      () => ({
        kind: contractPut,
        input: {
          ...{ contract: 'C-2', org: 'org_a', plan: 'team', status: 'past_due', add: [], source: 'manual' },
          ...{ from: control.in(-1), to: null, revision: 1 },
        },
      }),
    ],
  ]
  test.each(COMMANDS_OF)(
    '%s is requested as POST /changes requests it, to the digest',
    async (action, of) => {
      const { kind, input } = of()
      const parsed = (kind as CommandKind).input.parse(input)
      expect(await ledger.commit((kind as CommandKind).create(parsed, WHY), EDITOR)).toMatchObject({
        value: { kind: 'needs_approval' },
      })
      const change = { id: 'change_2', items: [{ action, input }], applyAt: null, draft: false }
      expect(await ledger.commit(openChangeCommand(change, WHY, COMMANDS), EDITOR)).toMatchObject({
        value: { kind: 'committed' },
      })
      const [one, other] = (await requests()).map(({ id: _, ...row }) => row)
      expect(one).toMatchObject({ digest: other?.digest, items: other?.items, rows: other?.rows })
      expect(one).toMatchObject({ environments: other?.environments, required: 1 })
    },
  )

  test('is done at once with a clearance, and nothing is requested', async () => {
    const kill = ruleKill.create({ flag: 'reports', environment: 'production' }, WHY)
    expect(await ledger.commit(kill, EDITOR)).toMatchObject({ value: { kind: 'committed' } })
    expect(await requests()).toEqual([])
  })

  test('is only shown by a dry run', async () => {
    const before = await control.auditRows()
    expect(await ledger.commit(setRule('production'), EDITOR, { dryRun: true })).toMatchObject({
      value: { kind: 'dry_run', guarded: ['production'], seq: null },
    })
    expect(await control.auditRows()).toEqual(before)
  })

  test.each([
    ['is no item of a change request', ({ item: _, ...command }: Command) => command],
    [
      'is of an action that cannot be requested',
      (command: Command): Command => ({ ...command, item: () => ({ action: 'rule.unknown', input: {} }) }),
    ],
  ])('is refused where it %s', async (_, changed) => {
    const before = await control.auditRows()
    const command = changed(setRule('production') as unknown as Command)
    expect(await ledger.commit(command, EDITOR)).toEqual({ ok: false, reason: 'approval_required' })
    expect([await control.auditRows(), await requests()]).toEqual([before, []])
  })

  test('is refused where it contradicts a contract, whichever way it comes, with the contract', async () => {
    const promotion = { flag: 'exports', from: 'staging', to: 'production', from_revision: 1, to_revision: 1 }
    const before = await control.auditRows()
    expect(await ledger.commit(rulePromote.create(promotion, WHY), EDITOR)).toEqual({
      ok: false,
      reason: 'contract_contradicts',
      contradictions: [
        { kind: 'paid_lost', environment: 'production', flag: 'exports', organizations: ['org_a'] },
      ],
    })
    expect(await control.auditRows()).toEqual(before)
  })
})

describe('what follows a commit', () => {
  test('follows it once, with the environments whose documents change', async () => {
    await ledger.commit(setRule('staging'), EDITOR)
    const seq = (await control.auditRows()).at(-1)?.seq
    expect(ledger.commits).toMatchObject([{ seq, environments: ['staging'], edits: [{ table: 'rules' }] }])
  })

  test('follows the change request that a command becomes, which changes no document', async () => {
    await ledger.commit(setRule('production'), EDITOR)
    expect(ledger.commits).toMatchObject([{ environments: [], edits: [{ table: 'change_requests' }] }])
  })

  const NOTHING: [string, () => Promise<unknown>][] = [
    ['a dry run', () => ledger.commit(setRule('staging'), EDITOR, { dryRun: true })],
    ['a refusal', () => ledger.commit(setRule('staging'), EDITOR, { ifMatch: 7 })],
    [
      'a key that is not for the environment',
      () => ledger.commit(setRule('staging'), { ...EDITOR, environments: [] }),
    ],
    [
      'a command that changes nothing',
      () => ledger.commit(flagUpdating.create({ flag: 'reports', name: 'reports' }, WHY), EDITOR),
    ],
  ]
  test.each(NOTHING)('does not follow %s', async (_, attempt) => {
    const before = await control.auditRows()
    await attempt()
    expect([ledger.commits, await control.auditRows()]).toEqual([[], before])
  })

  test('does not follow a repetition, which is answered as the first time', async () => {
    const idempotency = { actor: EDITOR.id, key: 'k-1', request: 'r' }
    const answer = () => ({ status: 200, etag: null, body: '"first"' })
    const options = { idempotency, answer }
    await ledger.commit(setRule('staging'), EDITOR, options)
    expect(await ledger.commit(setRule('staging', 'none'), EDITOR, options)).toMatchObject({
      value: { kind: 'replayed', answer: { body: '"first"' } },
    })
    expect(ledger.commits).toHaveLength(1)
  })
})

describe('what is written alongside', () => {
  const { db } = connect(bindings.DB)
  const note = (id: string) =>
    db.insert(mappings).values({
      ...{ source: 'standard', kind: 'org', external_id: id, target: null },
      ...{ updated_at: '2026-01-01T00:00:00.000Z', revision: 1 },
    })
  const nothing: Command<null> = {
    ...WHY,
    action: 'inbox.apply',
    decide: async () => ({ ok: true, value: { first: [], edit: null } }),
  }

  test('is written by itself where no row changes', async () => {
    const before = await control.auditRows()
    const seen: (number | null)[] = []
    const alongside = (seq: number | null) => {
      seen.push(seq)
      return [note('a')]
    }
    expect(await ledger.commit(nothing, systemActor('system:inbox'), { alongside })).toMatchObject({
      value: { kind: 'unchanged', seq: null },
    })
    expect([seen, await control.auditRows(), ledger.commits]).toEqual([[null], before, []])
    expect(await rowsOf('mappings')).toHaveLength(1)
  })

  test('and the commit are written together or not at all', async () => {
    const before = await control.auditRows()
    const twice = () => [note('a'), note('a')]
    await expect(ledger.commit(setRule('staging'), EDITOR, { alongside: twice })).rejects.toThrow()
    expect([await control.auditRows(), await rowsOf('mappings'), ledger.commits]).toEqual([before, [], []])
  })
})

describe('what a commit reads', () => {
  const policiesRead = () => ledger.statements.filter((text) => text.includes('from "policies"')).length

  test('of policies, it reads once: also to apply a change request with several items', async () => {
    const items = [
      {
        action: 'rule.set',
        input: { flag: 'reports', environment: 'production', access: 'all', percentage: null },
      },
      {
        action: 'rule.set',
        input: { flag: 'exports', environment: 'production', access: 'all', percentage: null },
      },
    ]
    const change = { id: 'change_1', items, applyAt: null, draft: false }
    await ledger.commit(openChangeCommand(change, WHY, COMMANDS), EDITOR)
    expect(policiesRead()).toBe(1)
    await bindings.DB.prepare("UPDATE change_requests SET state = 'approved', approvals = ?")
      .bind(
        JSON.stringify([
          {
            actor: 'user:ben',
            api_key: null,
            people: ['user:ben'],
            owns: [],
            digest: (await requests())[0]?.digest,
            at: control.in(0),
          },
        ]),
      )
      .run()
    expect(
      await ledger.commit(applyChangeCommand('change_1', WHY, COMMANDS), systemActor('system:scheduler')),
    ).toMatchObject({
      value: { kind: 'committed', edit: { after: { state: 'applied' } } },
    })
    expect(policiesRead()).toBe(2)
    expect(ledger.commits.at(-1)).toMatchObject({ environments: ['production'] })
  })

  test('is read again where another commit was faster, and both are kept', async () => {
    const flags = ['flag-1', 'flag-2', 'flag-3', 'flag-4']
    const creating = flags.map((key) =>
      counted(
        flagCreate.create(
          {
            ...{ key, name: key, description: '', kind: 'entitlement', owner: 'team-a', tags: [] },
            ...{ no_plan_reason: 'a test' },
          } as Parameters<typeof flagCreate.create>[0],
          WHY,
        ),
      ),
    )
    const before = (await control.auditRows()).length
    const committed = await Promise.all(creating.map(({ command }) => ledger.commit(command, EDITOR)))
    expect(committed.map((one) => one.ok && one.value.kind)).toEqual(flags.map(() => 'committed'))
    expect(creating.reduce((sum, { count }) => sum + count.decided, 0)).toBeGreaterThan(flags.length)
    expect((await control.auditRows()).length).toBe(before + flags.length)
  })
})

test('a commit of steps with an edit of its own in no place is answered by its seq', async () => {
  const at = new Date(control.clock.now - DAY_MS).toISOString()
  const command: Command<null> = {
    ...WHY,
    action: 'inbox.apply',
    clearance: 'contract',
    async decide({ state }) {
      const before = await state.rows('organizations').load('org_a')
      if (!before) return { ok: false, reason: 'not_found' }
      const after = { ...before, name: 'Renamed', updated_at: at, revision: before.revision + 1 }
      const edit: Edit = { table: 'organizations', before, after }
      const step = { edit, action: 'organization.update', actor: systemActor('system:standard'), ...WHY }
      return { ok: true, value: { first: [step], edit: null } }
    },
  }
  const committed = await ledger.commit(command, systemActor('system:inbox'))
  const [row] = (await control.auditRows()).slice(-1)
  expect(committed).toMatchObject({ value: { kind: 'committed', edit: null, seq: row?.seq } })
  expect(row).toMatchObject({
    actor: 'system:standard',
    action: 'organization.update',
    entity: 'organization:org_a',
  })
})
