/** Real providers' tokens and what each of the three verifiers may take them for. */
import { describe, expect, test } from 'vitest'
import type { Claims } from '../../src/core/claims.ts'
import { accessTokenFault, mediaType, type TokenPlace } from '../../src/core/token_purpose.ts'

const LOGOUT = { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }

/** Names, header, claims, and in which places it passes: the answer's `access_token`, presented, as the gateway's own. */
const TOKENS: [string, string | undefined, Claims, ...[boolean, boolean, boolean]][] = [
  ['RFC 9068', 'at+jwt', {}, true, true, true],
  ['RFC 9068, spelled out', 'application/at+jwt', {}, true, true, true],
  ['RFC 9068, in capitals', 'AT+JWT', {}, true, true, true],
  ['RFC 9068 with a nonce', 'at+jwt', { nonce: 'n' }, true, true, true],
  ['RFC 9068 with a claim typ of its owner', 'at+jwt', { typ: 'premium' }, true, true, true],
  ['RFC 9068 with a type of its owner', 'at+jwt', { type: 'refresh' }, true, true, true],
  ['RFC 9068 with events of its owner', 'at+jwt', { events: 'launch' }, true, true, true],
  ['Auth0, Okta: JWT', 'JWT', { gty: 'refresh_token' }, true, true, false],
  ['Okta: no typ', undefined, { cid: 'c', uid: 'u' }, true, true, false],
  ['Entra', 'JWT', { ver: '2.0', idtyp: 'user', scp: 'read' }, true, true, false],
  ['Keycloak', 'JWT', { typ: 'Bearer', azp: 'c' }, true, true, false],
  ['Keycloak before 25', 'JWT', { typ: 'Bearer', nonce: 'n' }, true, true, false],
  ['Keycloak with DPoP', 'JWT', { typ: 'DPoP', nonce: 'n' }, true, true, false],
  ['Keycloak, minted', 'at+jwt', { typ: 'Bearer', nonce: 'n' }, true, true, true],
  ['Cognito', undefined, { token_use: 'access', client_id: 'c' }, true, true, false],
  ['Dex', undefined, { at_hash: 'x' }, true, false, false],
  ['authentik', 'JWT', { azp: 'c', uid: 'x', nonce: 'n', at_hash: 'x', c_hash: 'y' }, true, false, false],
  ['Simple JWT', 'JWT', { token_type: 'access' }, true, true, false],
  ['ForgeRock', 'JWT', { tokenName: 'access_token', token_type: 'Bearer' }, true, true, false],
  ['a claim type of its owner', 'JWT', { type: 'userToken', token_type: 'user' }, true, true, false],
  ['a claim typ that repeats the header', 'JWT', { typ: 'JWT' }, true, true, false],
  ['a claim typ that is at+jwt', 'JWT', { typ: 'at+JWT', nonce: 'n' }, true, true, false],

  ['a plain ID token', 'JWT', { nonce: 'n' }, true, false, false],
  ['an ID token of the hybrid flow', 'JWT', { c_hash: 'x' }, true, false, false],
  ['an ID token of FAPI', 'JWT', { s_hash: 'x' }, true, false, false],
  ['an ID token of native SSO', 'JWT', { ds_hash: 'x' }, true, false, false],
  ['an ID token of CIBA', 'JWT', { 'urn:openid:params:jwt:claim:rt_hash': 'x' }, true, false, false],
  ['a self-issued ID token', 'JWT', { sub_jwk: {} }, true, false, false],
  ['an ID token whose nonce is null', 'JWT', { nonce: null }, true, false, false],

  ['an ID token of Keycloak', 'JWT', { typ: 'ID' }, false, false, false],
  ['an ID token of Keycloak with at+jwt', 'at+jwt', { typ: 'ID' }, false, false, false],
  ['a refresh token of Keycloak', 'JWT', { typ: 'Refresh' }, false, false, false],
  ['an offline token of Keycloak', 'JWT', { typ: 'Offline' }, false, false, false],
  ['a logout token of Keycloak', 'JWT', { typ: 'Logout', ...LOGOUT }, false, false, false],
  ['a registration token of Keycloak', 'JWT', { typ: 'InitialAccessToken' }, false, false, false],
  ['an action token of Keycloak', 'JWT', { typ: 'verify-email' }, false, false, false],
  ['an ID token of Cognito', undefined, { token_use: 'id' }, false, false, false],
  ['an ID token of Cognito with at+jwt', 'at+jwt', { token_use: 'id' }, false, false, false],
  ['a word of Cognito that is not known', 'JWT', { token_use: 'device' }, false, false, false],
  ['both Bearer and id', 'JWT', { typ: 'Bearer', token_use: 'id' }, false, false, false],
  ['an ID token of ForgeRock', 'JWT', { tokenName: 'id_token' }, false, false, false],
  ['a refresh token of ForgeRock', 'JWT', { tokenName: 'refresh_token' }, false, false, false],
  ['a refresh token of Simple JWT', 'JWT', { token_type: 'refresh' }, false, false, false],
  ['a refresh token of Flask-JWT-Extended', 'JWT', { type: 'refresh' }, false, false, false],
  ['a logout token', 'JWT', LOGOUT, false, false, false],
  ['a logout token with at+jwt', 'at+jwt', LOGOUT, false, false, false],
  ['a logout token that says Bearer', 'JWT', { typ: 'Bearer', ...LOGOUT }, false, false, false],
  ['events of another shape', 'JWT', { events: 'logout' }, false, false, false],
  ['events that are null', 'JWT', { events: null }, false, false, false],
  ['an introspection answer', 'JWT', { token_introspection: { active: true } }, false, false, false],
  ['a claim typ that is no string', 'JWT', { typ: 7 }, false, false, false],
  ['a claim typ that is null', 'JWT', { typ: null }, false, false, false],
  ['a claim typ that is a list', 'JWT', { typ: ['Bearer'] }, false, false, false],
  ['an empty claim typ', 'JWT', { typ: '' }, false, false, false],
]

const PLACES: readonly TokenPlace[] = ['token_response', 'presented', 'minted']

describe.each(TOKENS)('%s (%s, %j)', (_, typ, claims, ...passes) => {
  test.each(PLACES.map((place, i) => [place, passes[i]] as const))('%s: %s', (place, pass) => {
    expect(accessTokenFault(mediaType(typ), claims, place) === undefined).toBe(pass)
  })
})

describe('a header that names another kind is refused whatever the claims say', () => {
  test.each([
    'logout+jwt',
    'id+jwt',
    'secevent+jwt',
    'dpop+jwt',
    'oauth-authz-req+jwt',
    'token-introspection+jwt',
    'oauth-id-jag+jwt',
    'oi_reft+jwt',
    'JOSE',
    'at+jwt2',
    'x/at+jwt',
    '',
  ])('%s', (typ) => {
    const faults = PLACES.map((place) => accessTokenFault(mediaType(typ), { typ: 'Bearer' }, place))
    expect(faults).toEqual(['type_refused', 'type_refused', 'type_refused'])
  })
})

test('a silent header of what should be the gateway’s own is a refused type, not a purpose', () => {
  expect(accessTokenFault('jwt', {}, 'minted')).toBe('type_refused')
  expect(accessTokenFault(undefined, { token_use: 'access' }, 'minted')).toBe('type_refused')
})
