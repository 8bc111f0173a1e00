import { describe, expect, test } from 'vitest'
import {
  type Catalog,
  type OrgDocument,
  parseCatalog,
  parseOrgDocument,
  parseUserDocument,
  type UserDocument,
} from '../../src/core/documents.ts'
import { evaluate } from '../../src/core/evaluate.ts'
import type { Result } from '../../src/core/result.ts'
import vectors from './evaluate.vectors.json' with { type: 'json' }

const AT = Date.parse('2026-06-01T00:00:00Z')
const HEADER = { format: 1, version: 1, published_at: '2026-01-01T00:00:00Z' }
const WINDOW = { from: '2026-01-01T00:00:00Z', to: null }
const GRANT = { id: 'g', flag: 'feature', source: 'beta', ...WINDOW }
const CONTRACT = { id: 'C-1', status: 'active', ...WINDOW }

type Members = Record<string, unknown>

/** The documents go through the parser, so that a vector is one that could be published. */
function parsed<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.reason)
  return result.value
}

const catalogOf = (flags: Members, plans: Members = { pro: ['feature'], basic: ['other'] }): Catalog =>
  parsed(parseCatalog(JSON.stringify({ ...HEADER, environment: 'production', flags, plans }), 'production'))

const orgOf = ({ grants = [], contracts = [] }: { grants?: Members[]; contracts?: Members[] }): OrgDocument =>
  parsed(
    parseOrgDocument(
      JSON.stringify({
        ...HEADER,
        org_id: 'o',
        not_before: 0,
        grants: grants.map((grant) => ({ ...GRANT, ...grant })),
        contracts: contracts.map((contract) => ({ ...CONTRACT, ...contract })),
      }),
      'o',
    ),
  )

const userOf = ({ grants }: { grants: Members[] }): UserDocument =>
  parsed(
    parseUserDocument(
      JSON.stringify({ ...HEADER, user_id: 'u', grants: grants.map((grant) => ({ ...GRANT, ...grant })) }),
      'u',
    ),
  )

interface Vector {
  name: string
  rule: Members
  orgId?: string
  userId?: string
  org?: { grants?: Members[]; contracts?: Members[] }
  user?: { grants: Members[] }
  on: boolean
  reason: string
  until?: string | null
}

describe('the first line of the table that applies decides', () => {
  test.each(vectors as Vector[])('$name', ({ rule, orgId, userId, org, user, on, reason, until }) => {
    const catalog = catalogOf({ feature: { kind: 'entitlement', ...rule } })
    const subject = { orgId, userId, org: org && orgOf(org), user: user && userOf(user) }
    const evaluation = evaluate(catalog, subject, AT)
    expect(evaluation.decisions).toEqual([{ flag: 'feature', on, reason }])
    expect(evaluation.flags).toEqual(on ? ['feature'] : [])
    if (until !== undefined) expect(evaluation.until).toBe(until === null ? null : Date.parse(until))
  })
})

test('the organization decides the bucket, also when the user is known', () => {
  const catalog = catalogOf({ feature: { kind: 'rollout', access: 'some', percentage: 50 } })
  const flagsOf = (ids: { orgId?: string; userId?: string }) => evaluate(catalog, ids, AT).flags
  for (let i = 0; i < 100; i++) {
    expect(flagsOf({ orgId: `org_${i}`, userId: 'user_1' })).toEqual(flagsOf({ orgId: `org_${i}` }))
  }
})

test('every flag of the catalog is decided, sorted; what only grants and plans name is not', () => {
  const all = { kind: 'entitlement', access: 'all' }
  const some = { kind: 'entitlement', access: 'some' }
  const catalog = catalogOf({ b: all, a: some, 'a.b': all, c: some }, { pro: ['c', 'unknown-in-plan'] })
  const org = orgOf({
    grants: [{ effect: 'allow', flag: 'unknown-in-grant', to: '2026-06-02T00:00:00Z' }],
    contracts: [{ plan: 'pro', add: ['unknown-add-on'] }],
  })
  const { decisions, flags, until } = evaluate(catalog, { org }, AT)
  expect(decisions.map(({ flag }) => flag)).toEqual(['a', 'a.b', 'b', 'c'])
  expect(flags).toEqual(['a.b', 'b', 'c'])
  expect(until, 'a grant of an unknown flag bounds nothing').toBeNull()
})

test('the token is bounded by the earliest end over all flags that are on, and by no flag that is off', () => {
  const some = { kind: 'entitlement', access: 'some' }
  const catalog = catalogOf({ a: some, b: some, killed: { ...some, killed: true } }, {})
  const org = orgOf({
    grants: [
      { effect: 'allow', flag: 'a', to: '2026-08-01T00:00:00Z' },
      { effect: 'allow', flag: 'b', to: '2026-07-01T00:00:00Z' },
      { effect: 'allow', flag: 'killed', to: '2026-06-02T00:00:00Z' },
    ],
  })
  expect(evaluate(catalog, { org }, AT)).toMatchObject({
    flags: ['a', 'b'],
    until: Date.parse('2026-07-01T00:00:00Z'),
  })
})

test('an empty catalog gives nothing', () => {
  expect(evaluate(catalogOf({}), { orgId: 'o' }, AT)).toEqual({ decisions: [], flags: [], until: null })
})

test('nobody in particular has what the rules give to everybody: access all, not killed, sorted', () => {
  const flags = {
    z: { kind: 'entitlement', access: 'all' },
    a: { kind: 'rollout', access: 'all' },
    killed: { kind: 'entitlement', access: 'all', killed: true },
    some: { kind: 'rollout', access: 'some', percentage: 100 },
    none: { kind: 'entitlement', access: 'none' },
  }
  expect(evaluate(catalogOf(flags), {}, AT)).toMatchObject({ flags: ['a', 'z'], until: null })
})

test('a denial that is yet to begin bounds how long a token may say that the flag is on', () => {
  const catalog = catalogOf({
    feature: { kind: 'entitlement', access: 'all' },
    other: { kind: 'entitlement', access: 'none' },
  })
  const from = '2026-06-01T00:01:00Z'
  const denying = (flag: string) => ({ org: orgOf({ grants: [{ flag, effect: 'deny', from }] }) })
  expect(evaluate(catalog, denying('feature'), AT)).toMatchObject({
    flags: ['feature'],
    until: Date.parse(from),
  })
  expect(evaluate(catalog, denying('other'), AT).until, 'it takes nothing away').toBeNull()
})
