import { describe, expect, test } from 'vitest'
import { organizationOf } from '../../src/core/organization.ts'

const one = (id: string) => ({ kind: 'one', id })
const NONE = { kind: 'none' }
const UNREADABLE = { kind: 'unreadable' }

describe('the organization of a token', () => {
  test.each<[string, string, Record<string, unknown>, object]>([
    ['a claim', 'org_id', { org_id: 'org_acme' }, one('org_acme')],
    ['a number', 'org_id', { org_id: 42 }, one('42')],
    ['no claim', 'org_id', {}, NONE],
    ['null', 'org_id', { org_id: null }, NONE],
    ['a claim whose name is an address', 'https://x.test/org.id', { 'https://x.test/org.id': 'a' }, one('a')],
    ['a path into such a claim', 'https://x.test/org.id', { 'https://x.test/org': { id: 'a' } }, one('a')],
    ['a name with a dot before a path', 'o.id', { 'o.id': 'whole', o: { id: 'path' } }, one('whole')],

    ['Clerk', 'o.id', { o: { id: 'org_1', rol: 'admin' } }, one('org_1')],
    ['Clerk, a personal account', 'o.id', {}, NONE],
    ['Clerk, without the id', 'o.id', { o: { rol: 'admin' } }, UNREADABLE],
    ['Clerk, with an id that is none', 'o.id', { o: { id: null } }, UNREADABLE],

    ['Keycloak, a list', 'organization', { organization: ['acme'] }, one('acme')],
    ['Keycloak, a list, by a path', 'organization.*', { organization: ['acme'] }, one('acme')],
    ['Keycloak, a map', 'organization.*.id', { organization: { acme: { id: '42' } } }, one('42')],
    ['Keycloak, a map by name', 'organization.*', { organization: { acme: {} } }, one('acme')],
    ['Keycloak, a list of a map', 'organization.*.id', { organization: [{ acme: { id: '42' } }] }, one('42')],
    ['Keycloak, a list of a map by name', 'organization.*', { organization: [{ acme: {} }] }, one('acme')],
    ['Keycloak, a map without ids', 'organization.*.id', { organization: { acme: {} } }, UNREADABLE],
    ['Keycloak, a map without a path', 'organization', { organization: { acme: { id: '42' } } }, UNREADABLE],
    ['Keycloak, two in a list', 'organization', { organization: ['acme', 'globex'] }, UNREADABLE],
    [
      'Keycloak, two in a map',
      'organization.*.id',
      { organization: { acme: { id: '1' }, globex: { id: '2' } } },
      UNREADABLE,
    ],
    ['Keycloak, none in a list', 'organization', { organization: [] }, NONE],
    ['Keycloak, none in a map', 'organization.*.id', { organization: {} }, NONE],
    ['a list of one with an id', 'orgs.id', { orgs: [{ id: 'a' }] }, one('a')],
    ['deeper', 'a.b.*.c', { a: { b: { x: { c: 'org' } } } }, one('org')],

    ['a path into a text', 'o.id', { o: 'org_1' }, UNREADABLE],
    ['an empty text', 'org_id', { org_id: '' }, UNREADABLE],
    ['a truth value', 'org_id', { org_id: true }, UNREADABLE],
    ['what every object has', 'o.constructor.name', { o: { a: 1 } }, UNREADABLE],
    ['what every object has, at the top', 'constructor', {}, NONE],
    ['the length of a list', 'o.length', { o: ['a'] }, UNREADABLE],
  ])('%s: %s', (_, path, claims, expected) => {
    expect(organizationOf(claims, path)).toEqual(expected)
  })
})
