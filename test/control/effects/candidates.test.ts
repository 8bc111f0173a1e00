/** The candidates that are listed, compared with the decision. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { candidatesFor } from '../../../src/control/effects/candidates.ts'
import type { Catalog, Contract, Grant } from '../../../src/core/documents.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import { DAY_MS } from '../support/control.ts'

describe('the candidates and the evaluation agree', () => {
  const AT = Date.parse('2026-06-01T00:00:00Z')
  const instant = fc.integer({ min: -3, max: 3 }).map((days) => new Date(AT + days * DAY_MS).toISOString())
  const end = fc.option(instant, { nil: null })
  const flag = fc.constantFrom('a', 'b')
  const grant: fc.Arbitrary<Grant> = fc.record({
    id: fc.uuid(),
    flag,
    effect: fc.constantFrom('allow', 'deny'),
    source: fc.constantFrom('override', 'beta', 'support', 'import'),
    from: instant,
    to: end,
  })
  const contract: fc.Arbitrary<Contract> = fc.record({
    id: fc.uuid(),
    plan: fc.constantFrom('team', 'gold', null),
    status: fc.constantFrom('active', 'trialing', 'past_due', 'cancelled'),
    from: instant,
    to: end,
    add: fc.uniqueArray(flag),
    grace_until: end,
  })
  const rule = fc.record(
    {
      kind: fc.constant('entitlement' as const),
      access: fc.constantFrom('none', 'some', 'all'),
      percentage: fc.integer({ min: 0, max: 100 }),
      killed: fc.boolean(),
    },
    { requiredKeys: ['kind', 'access'] },
  )

  test('for any rules, contracts and grants', () => {
    fc.assert(
      fc.property(
        fc.record({ a: rule, b: rule }),
        fc.uniqueArray(flag),
        fc.array(contract, { maxLength: 3 }),
        fc.array(grant, { maxLength: 4 }),
        fc.array(grant, { maxLength: 2 }),
        (flags, team, contracts, orgGrants, userGrants) => {
          const header = { format: 1 as const, version: 1, published_at: '2026-01-01T00:00:00Z' }
          const catalog = { ...header, environment: 'e', flags, plans: { team } } as Catalog
          const ids = { orgId: 'org_a', userId: 'u1' }
          const { decisions } = evaluate(
            catalog,
            {
              ...ids,
              org: { ...header, org_id: 'org_a', contracts, grants: orgGrants, not_before: 0 },
              user: { ...header, user_id: 'u1', grants: userGrants, not_before: 0 },
            },
            AT,
          )
          for (const { flag, on, reason } of decisions) {
            const heard = candidatesFor(flag, catalog, { ...ids, contracts, orgGrants, userGrants }, AT)
            expect(heard.find(({ counts }) => counts)).toMatchObject({ on, reason })
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})
