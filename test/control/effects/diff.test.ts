/** The effective diff against the plain definition: evaluate everybody before and after, and compare. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { effectOf } from '../../../src/control/effects/diff.ts'
import type { World } from '../../../src/control/effects/world.ts'
import type { ContractColumns, GrantColumns } from '../../../src/control/entities/projection.ts'
import { projectCatalog, projectOrg, projectUser } from '../../../src/control/entities/projection.ts'
import { evaluate } from '../../../src/core/evaluate.ts'

const AT = Date.parse('2026-06-01T00:00:00Z')
const DAY_MS = 86_400_000
const ORGANIZATIONS = ['org_1', 'org_2', 'org_3', 'org_4', 'org_5', 'org_6']
const USERS = ['u_1', 'u_2']
const ENVIRONMENTS = ['staging', 'production']

const instant = fc.integer({ min: -3, max: 3 }).map((days) => new Date(AT + days * DAY_MS).toISOString())
const flag = fc.constantFrom('a', 'b')
const grant: fc.Arbitrary<GrantColumns> = fc
  .record({
    id: fc.uuid(),
    environment: fc.constantFrom(...ENVIRONMENTS),
    subject_id: fc.constantFrom(...ORGANIZATIONS.slice(0, 3), ...USERS),
    flag,
    effect: fc.constantFrom('allow' as const, 'deny' as const),
    source: fc.constantFrom('override' as const, 'beta' as const),
    from: instant,
    to: fc.option(instant, { nil: null }),
  })
  .map((row) => ({
    ...row,
    subject_kind: row.subject_id.startsWith('u') ? ('user' as const) : ('org' as const),
  }))
const contract: fc.Arbitrary<ContractColumns> = fc.record({
  id: fc.uuid(),
  org: fc.constantFrom(...ORGANIZATIONS.slice(0, 4)),
  plan: fc.constantFrom('team', null),
  status: fc.constantFrom('active' as const, 'cancelled' as const),
  from: instant,
  to: fc.option(instant, { nil: null }),
  grace_until: fc.constant(null),
  add: fc.uniqueArray(flag),
})
const rule = (key: string) =>
  fc.record({
    flag: fc.constant(key),
    environment: fc.constantFrom(...ENVIRONMENTS),
    access: fc.constantFrom('none' as const, 'some' as const, 'all' as const),
    percentage: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }),
    killed: fc.boolean(),
  })
const world: fc.Arbitrary<World> = fc.record({
  flags: fc
    .tuple(
      fc.constantFrom('draft' as const, 'live' as const),
      fc.constantFrom('live' as const, 'retiring' as const),
    )
    .map((states) =>
      ['a', 'b'].map((key, i) => ({ key, kind: 'rollout' as const, state: states[i] ?? 'live' })),
    ),
  rules: fc.tuple(rule('a'), rule('b')),
  plans: fc.uniqueArray(flag).map((flags) => [{ key: 'team', flags }]),
  contracts: fc.array(contract, { maxLength: 4 }),
  grants: fc.array(grant, { maxLength: 5 }),
})

const flagsOf = (side: World, environment: string, kind: 'org' | 'user', id: string, at: number) => {
  const stamp = { version: 1, changed_at: '2000-01-01T00:00:00.000Z' }
  const grants = side.grants.filter(
    (one) => one.environment === environment && one.subject_kind === kind && one.subject_id === id,
  )
  const contracts = side.contracts.filter(({ org }) => org === id)
  const subject =
    kind === 'org'
      ? { orgId: id, org: projectOrg({ id, not_before: 0 }, contracts, grants, stamp) }
      : { userId: id, user: projectUser(id, grants, stamp) }
  return evaluate(projectCatalog(environment, side, stamp), subject, at).flags
}

describe('the effective diff', () => {
  test('names exactly those whose flags evaluation finds different', () => {
    fc.assert(
      fc.property(world, world, (before, after) => {
        const question = {
          environments: ENVIRONMENTS,
          organizations: ORGANIZATIONS,
          users: USERS,
          now: AT,
        }
        const found = effectOf(before, after, question)
          .filter(({ at }) => at === null)
          .flatMap(({ environment, flag, gained, lost }) => [
            ...[...gained.organizations, ...gained.users].map((id) => `${environment} ${flag} +${id}`),
            ...[...lost.organizations, ...lost.users].map((id) => `${environment} ${flag} -${id}`),
          ])
        const expected = ENVIRONMENTS.flatMap((environment) =>
          [...ORGANIZATIONS, ...USERS].flatMap((id) => {
            const kind = id.startsWith('u') ? 'user' : 'org'
            const had = flagsOf(before, environment, kind, id, AT)
            const has = flagsOf(after, environment, kind, id, AT)
            return [
              ...has.filter((key) => !had.includes(key)).map((key) => `${environment} ${key} +${id}`),
              ...had.filter((key) => !has.includes(key)).map((key) => `${environment} ${key} -${id}`),
            ]
          }),
        )
        expect(found.sort()).toEqual(expected.sort())
      }),
      { numRuns: 300 },
    )
  })

  test('of two equal worlds is empty', () => {
    fc.assert(
      fc.property(world, (same) => {
        const question = {
          environments: ENVIRONMENTS,
          organizations: ORGANIZATIONS,
          users: USERS,
          now: AT,
        }
        expect(effectOf(same, same, question)).toEqual([])
      }),
    )
  })
})
