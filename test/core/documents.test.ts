import { describe, expect, test } from 'vitest'
import {
  catalogKey,
  orgKey,
  parseCatalog,
  parseOrgDocument,
  parseUserDocument,
  userKey,
} from '../../src/core/documents.ts'

const HEADER = { format: 1, version: 87, published_at: '2026-11-22T09:00:00Z' }
const WINDOW = { from: '2026-01-01T00:00:00Z', to: null }
const CATALOG = {
  ...HEADER,
  environment: 'production',
  flags: {
    'advanced-analytics': { kind: 'entitlement', access: 'some' },
    'new-editor': { kind: 'rollout', access: 'some', percentage: 25 },
    'legacy-export': { kind: 'entitlement', access: 'some', killed: true },
  },
  plans: { enterprise: ['advanced-analytics', 'sso'] },
}
const CONTRACT = { id: 'C-9', plan: 'enterprise', status: 'active', ...WINDOW, add: ['scim'] }
const GRANT = { id: 'g', flag: 'new-editor', effect: 'allow', source: 'beta', ...WINDOW }
const ORG = { ...HEADER, org_id: 'org_acme', contracts: [CONTRACT], grants: [GRANT], not_before: 0 }
const USER = { ...HEADER, user_id: 'user_1', grants: [GRANT], not_before: 0 }

const readers = {
  catalog: (document: unknown) => parseCatalog(JSON.stringify(document), 'production'),
  org: (document: unknown) => parseOrgDocument(JSON.stringify(document), 'org_acme'),
  user: (document: unknown) => parseUserDocument(JSON.stringify(document), 'user_1'),
}
const INVALID = { ok: false, reason: 'document_invalid' }

test('the documents of the design are read as they are', () => {
  expect(readers.catalog(CATALOG)).toEqual({ ok: true, value: CATALOG })
  expect(readers.org(ORG)).toEqual({ ok: true, value: ORG })
  expect(readers.user(USER)).toEqual({ ok: true, value: USER })
})

test('members that only a newer writer knows are ignored, at any depth', () => {
  const newer = { some: 'thing' }
  const flags = Object.fromEntries(
    Object.entries(CATALOG.flags).map(([key, rule]) => [key, { ...rule, newer }]),
  )
  expect(readers.catalog({ ...CATALOG, newer, flags })).toEqual({ ok: true, value: CATALOG })
  const org = { ...ORG, newer, contracts: [{ ...CONTRACT, newer }], grants: [{ ...GRANT, newer }] }
  expect(readers.org(org)).toEqual({ ok: true, value: ORG })
})

test('what may be left out: add-ons, a grace, the not_before of a user', () => {
  const { add: _, ...contract } = CONTRACT
  expect(readers.org({ ...ORG, contracts: [contract] })).toMatchObject({
    ok: true,
    value: { contracts: [{ add: [] }] },
  })
  const { not_before: __, ...user } = USER
  expect(readers.user(user)).toMatchObject({ ok: true, value: { not_before: 0 } })
})

describe('a document under the key of another one is refused', () => {
  test.each([
    ['catalog', { ...CATALOG, environment: 'staging' }],
    ['org', { ...ORG, org_id: 'org_other' }],
    ['org', { ...ORG, org_id: 'ORG_ACME' }],
    ['user', { ...USER, user_id: 'user_2' }],
    ['org', USER],
    ['catalog', ORG],
  ] as const)('%s', (kind, document) => {
    expect(readers[kind](document)).toEqual(INVALID)
  })
})

describe('half of a document is a wrong one: it is refused whole', () => {
  const rule = (members: object) => ({
    ...CATALOG,
    flags: { flag: { kind: 'rollout', access: 'some', ...members } },
  })
  const withGrant = (members: object) => ({ ...ORG, grants: [GRANT, { ...GRANT, ...members }] })
  const withContract = (members: object) => ({ ...ORG, contracts: [{ ...CONTRACT, ...members }] })
  test.each([
    ['a newer format', 'catalog', { ...CATALOG, format: 2 }],
    ['no format', 'catalog', { ...CATALOG, format: undefined }],
    ['a format as text', 'org', { ...ORG, format: '1' }],
    ['an access that nobody knows', 'catalog', rule({ access: 'most' })],
    ['a percentage above 100', 'catalog', rule({ percentage: 101 })],
    ['a percentage below 0', 'catalog', rule({ percentage: -1 })],
    ['a kill switch that is not a boolean', 'catalog', rule({ killed: 'yes' })],
    [
      'a flag key that is not a slug',
      'catalog',
      { ...CATALOG, flags: { 'Not A Slug': { kind: 'rollout', access: 'all' } } },
    ],
    [
      'a flag key of 64 characters',
      'catalog',
      { ...CATALOG, flags: { ['a'.repeat(64)]: { kind: 'rollout', access: 'all' } } },
    ],
    ['flags as a list', 'catalog', { ...CATALOG, flags: [] }],
    ['no plans', 'catalog', { ...CATALOG, plans: undefined }],
    ['no grants', 'org', { ...ORG, grants: undefined }],
    ['no contracts', 'org', { ...ORG, contracts: undefined }],
    ['an effect that nobody knows', 'org', withGrant({ effect: 'maybe' })],
    ['a source that nobody knows', 'org', withGrant({ source: 'friend' })],
    ['a window with an offset', 'org', withGrant({ from: '2026-01-01T00:00:00+02:00' })],
    ['a window without a time', 'org', withGrant({ to: '2026-01-01' })],
    ['a day that is not in the calendar', 'org', withGrant({ to: '2026-02-30T00:00:00Z' })],
    ['a window without an end', 'org', withGrant({ to: undefined })],
    ['a grace that is no instant', 'org', withContract({ grace_until: 'tomorrow' })],
    ['a contract without a status', 'org', withContract({ status: undefined })],
    ['a negative version', 'org', { ...ORG, version: -1 }],
    ['a negative not_before', 'org', { ...ORG, not_before: -1 }],
    ['a list', 'org', [ORG]],
    ['nothing', 'org', null],
  ] as const)('%s', (_, kind, document) => {
    expect(readers[kind](document)).toEqual(INVALID)
  })

  test.each(['', '{', 'null', '"text"', '{"format":1}', '\u0000'])('the text %j', (text) => {
    expect(parseOrgDocument(text, 'org_acme')).toEqual(INVALID)
    expect(parseCatalog(text, 'production')).toEqual(INVALID)
    expect(parseUserDocument(text, 'user_1')).toEqual(INVALID)
  })
})

test('a flag key may have 63 characters, dots, dashes and underscores', () => {
  const flags = {
    [`0${'a'.repeat(62)}`]: { kind: 'rollout', access: 'all' },
    'a.b_c-d': { kind: 'rollout', access: 'all' },
  }
  expect(readers.catalog({ ...CATALOG, flags }).ok).toBe(true)
})

test('keys are those of the design', () => {
  expect(catalogKey('production')).toBe('catalog:production')
  expect(orgKey('production', 'org_acme')).toBe('org:production:org_acme')
  expect(userKey('staging', 'user_1')).toBe('user:staging:user_1')
})
