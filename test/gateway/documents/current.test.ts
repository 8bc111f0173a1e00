import { beforeEach, describe, expect, test } from 'vitest'
import type { Catalog, OrgDocument } from '../../../src/core/documents.ts'
import { EntitlementsNow } from '../../../src/gateway/documents/current.ts'
import type { Documents } from '../../../src/gateway/documents/store.ts'
import { catalog, grant, orgDocument } from '../support/gateway.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const ACME = { orgId: 'org_acme', userId: undefined }
const reading = <T>(document: T) => ({ document, readAt: NOW, stale: false })

const CATALOG = catalog({
  a: { kind: 'entitlement', access: 'some' },
  b: { kind: 'entitlement', access: 'some' },
})
const read = (grants: object[], members: object = {}): Documents => ({
  catalog: reading(CATALOG as Catalog),
  org: reading(orgDocument({ grants, ...members }) as OrgDocument),
  user: undefined,
})

let entitlements: EntitlementsNow
beforeEach(() => {
  entitlements = new EntitlementsNow('production')
})
const flagsAt = (found: Documents, at: number, ids = ACME) => entitlements.of(found, ids, at)?.flags

test('what is on is evaluated once while the documents are the same', () => {
  const found = read([grant('a')])
  expect(flagsAt(found, NOW)).toEqual(['a'])
  expect(entitlements.of(found, ACME, NOW + 3600_000)).toBe(entitlements.of(found, ACME, NOW))
})

test('another document is evaluated again, although everything else is the same', () => {
  expect(flagsAt(read([grant('a')]), NOW)).toEqual(['a'])
  expect(flagsAt(read([grant('b')]), NOW)).toEqual(['b'])
  const found = read([grant('a')])
  expect(flagsAt(found, NOW)).toEqual(['a'])
  const killed = { ...CATALOG, flags: { a: { kind: 'entitlement', access: 'none' } } } as Catalog
  expect(flagsAt({ ...found, catalog: reading(killed) }, NOW)).toEqual([])
})

test('somebody who is named in a way that nothing can be found by has no state, not that of the user alone', () => {
  const found: Documents = {
    catalog: reading(CATALOG as Catalog),
    org: undefined,
    user: reading(null as never),
  }
  const user = { orgId: undefined, userId: 'user_1' }
  expect(entitlements.of(found, user, NOW)?.flags).toEqual([])
  expect(entitlements.of(found, { ...user, unreadable: true }, NOW)).toBeUndefined()
})

test('another subject is another matter, also with the same documents', () => {
  const found = read([grant('a')])
  expect(flagsAt(found, NOW)).toEqual(['a'])
  expect(entitlements.of(found, { orgId: 'org_acme', userId: 'user_1' }, NOW)).toBeUndefined()
})

test('two subjects whose ids run together are two', () => {
  const rollout = { kind: 'rollout', access: 'some', percentage: 50 }
  const found: Documents = {
    catalog: reading(catalog(Object.fromEntries([...'abcdefgh'].map((flag) => [flag, rollout]))) as Catalog),
    org: reading(null),
    user: reading(null),
  }
  const one = { orgId: 'a\nb', userId: 'c' }
  const other = { orgId: 'a', userId: 'b\nc' }
  const alone = new EntitlementsNow('production').of(found, other, NOW)
  entitlements.of(found, one, NOW)
  expect(entitlements.of(found, other, NOW)).toEqual(alone)
})

describe('a window', () => {
  test.each([
    ['that opens', { from: '2026-06-01T00:10:00Z' }, [], ['a']],
    ['that closes', { to: '2026-06-01T00:10:00Z' }, ['a'], []],
  ])('%s counts on time, however often it was asked before', (_, window, before, after) => {
    const found = read([grant('a', window)])
    for (const seconds of [0, 300, 598]) expect(flagsAt(found, NOW + seconds * 1000)).toEqual(before)
    for (const seconds of [600, 700]) expect(flagsAt(found, NOW + seconds * 1000)).toEqual(after)
  })

  test('of grace counts too', () => {
    const contract = {
      id: 'C',
      plan: null,
      status: 'past_due',
      from: '2026-01-01T00:00:00Z',
      to: null,
      add: ['a'],
    }
    const found = read([], { contracts: [{ ...contract, grace_until: '2026-06-01T00:10:00Z' }] })
    expect(flagsAt(found, NOW)).toEqual(['a'])
    expect(flagsAt(found, NOW + 600_000)).toEqual([])
  })
})

test('a clock that goes back is not answered from the future', () => {
  const found = read([grant('a', { from: '2026-06-01T00:00:00Z' })])
  expect(flagsAt(found, NOW)).toEqual(['a'])
  expect(flagsAt(found, NOW - 1)).toEqual([])
})
