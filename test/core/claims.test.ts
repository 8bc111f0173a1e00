import { describe, expect, test } from 'vitest'
import { audiences, featureFlags, stringClaim } from '../../src/core/claims.ts'
import { subjectOf } from '../../src/core/organization.ts'

test.each([
  [
    ['a', 'b'],
    ['a', 'b'],
  ],
  [[], []],
  [undefined, []],
  ['a', []],
  [['a', 1], []],
  [{ a: true }, []],
  [null, []],
])('the flags of the claim %j are %j', (claim, flags) => {
  expect(featureFlags({ feature_flags: claim })).toEqual(flags)
})

test.each([
  ['one', ['one']],
  ['one two', ['one', 'two']],
  [
    ['one', 'two'],
    ['one', 'two'],
  ],
  [['one', 2], ['one']],
  [undefined, []],
  [{ one: true }, []],
])('the audiences of %j are %j', (aud, expected) => {
  expect(audiences({ aud })).toEqual(expected)
})

test.each([
  ['text', 'text'],
  [1, undefined],
  [null, undefined],
  [undefined, undefined],
])('the claim %j as a string is %j', (value, expected) => {
  expect(stringClaim({ name: value }, 'name')).toBe(expected)
})

describe('who a token is about, as documents name them', () => {
  test.each([
    ['a string', 'org_acme', 'org_acme'],
    ['a whole number', 42, '42'],
    ['0', 0, '0'],
    ['a number beyond the safe ones', 2 ** 53, undefined],
    ['a fraction', 1.5, undefined],
    ['nothing', undefined, undefined],
    ['an empty string', '', undefined],
    ['null', null, undefined],
    ['an object', { id: 'org_acme' }, undefined],
    ['the longest that fits into a key', 'o'.repeat(440), 'o'.repeat(440)],
    ['one character more', 'o'.repeat(441), undefined],
    ['one that is too long in bytes', 'ö'.repeat(221), undefined],
  ])('%s', (_, claim, id) => {
    const unreadable = id === undefined && claim !== undefined && claim !== null
    const ids = { orgId: id, userId: id, ...(unreadable && { unreadable }) }
    expect(subjectOf({ org_id: claim, sub: claim }, 'org_id')).toEqual(ids)
  })

  test('the organization stands in the claim that is configured', () => {
    const claims = { org_id: 'no', 'https://example.com/org': 'yes', sub: 'user_1' }
    expect(subjectOf(claims, 'https://example.com/org')).toMatchObject({ orgId: 'yes', userId: 'user_1' })
  })
})
