/**
 * Arbitrary catalogs and subjects, few enough of everything that they meet.
 */
import fc from 'fast-check'
import {
  type Catalog,
  catalogSchema,
  type OrgDocument,
  orgDocumentSchema,
  type UserDocument,
  userDocumentSchema,
} from '../../src/core/documents.ts'
import type { Subject } from '../../src/core/evaluate.ts'

/** The instant of evaluation in every property; windows begin and end around it. */
export const AT = Date.parse('2026-06-01T12:00:00Z')
const HEADER = { format: 1, version: 1, published_at: '2026-01-01T00:00:00Z' }

export const FLAGS = ['a', 'b', 'c-1', 'constructor']
const PLANS = ['basic', 'pro', 'constructor']
const flag = fc.constantFrom(...FLAGS, 'not-in-catalog')

const rule = fc.record(
  {
    kind: fc.constantFrom('entitlement', 'rollout'),
    access: fc.constantFrom('none', 'some', 'all'),
    percentage: fc.double({ min: 0, max: 100, noNaN: true }),
    killed: fc.boolean(),
  },
  { requiredKeys: ['kind', 'access'] },
)

export const catalogs: fc.Arbitrary<Catalog> = fc
  .record({
    flags: fc.dictionary(fc.constantFrom(...FLAGS), rule),
    plans: fc.dictionary(fc.constantFrom(...PLANS), fc.array(flag)),
  })
  .map((members) => catalogSchema.parse({ ...HEADER, environment: 'production', ...members }))

/** Within three seconds of the instant, in milliseconds, its own borders often among them. */
const instant = fc
  .oneof(fc.constantFrom(-1, 0, 1, 999, 1000), fc.integer({ min: -3000, max: 3000 }))
  .map((offset) => new Date(AT + offset).toISOString())
const end = fc.option(instant)

const grants = fc.array(
  fc.record({
    id: fc.constant('g'),
    flag,
    effect: fc.constantFrom('allow', 'allow', 'allow', 'deny'),
    source: fc.constantFrom('override', 'beta', 'support', 'import'),
    from: instant,
    to: end,
  }),
  { maxLength: 5 },
)

const contracts = fc.array(
  fc.record(
    {
      id: fc.constant('C'),
      plan: fc.option(fc.constantFrom(...PLANS, 'gone')),
      status: fc.constantFrom('trialing', 'active', 'past_due', 'canceled'),
      from: instant,
      to: end,
      add: fc.array(flag, { maxLength: 2 }),
      grace_until: end,
    },
    { requiredKeys: ['id', 'plan', 'status', 'from', 'to'] },
  ),
  { maxLength: 3 },
)

const orgs: fc.Arbitrary<OrgDocument> = fc
  .record({ grants, contracts })
  .map((members) => orgDocumentSchema.parse({ ...HEADER, org_id: 'o', not_before: 0, ...members }))

const users: fc.Arbitrary<UserDocument> = grants.map((given) =>
  userDocumentSchema.parse({ ...HEADER, user_id: 'u', grants: given }),
)

export const subjects: fc.Arbitrary<Subject> = fc.record({
  orgId: fc.option(fc.constantFrom('org_1', 'org_2', 'org_3'), { nil: undefined }),
  userId: fc.option(fc.constantFrom('user_1', 'user_2'), { nil: undefined }),
  org: fc.option(orgs),
  user: fc.option(users),
})
