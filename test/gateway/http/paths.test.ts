import { describe, expect, test } from 'vitest'
import { discoveryPaths, ownDiscoveryPaths, pathMatcher } from '../../../src/gateway/http/paths.ts'
import { configOf } from '../support/gateway.ts'

describe('what some upstream might take for its token endpoint is its token endpoint', () => {
  test.each([
    '/oauth/token',
    '/OAuth/Token',
    '/oauth/token/',
    '//oauth/token',
    '/oauth//token',
    '/oauth/%74oken',
    '/oauth%2Ftoken',
    '/oauth%2ftoken',
    '/oauth/token;v=1',
    '/oauth;v=1/token',
    '/x/..%2foauth/token',
    '/x/..;/oauth/token',
    '/oauth/x%2f..%2ftoken',
    '/oauth/.%2ftoken',
    '/oauth%5ctoken',
    '/oauth%2ftoken;%ff',
    '/oauth%2ftoken%2f%ff%2f..',
    '/oauth/%2574oken',
    '/oauth/token%00',
    '/oauth/token%3fx',
    '/oauth/token%23x',
    '/oauth/token%20',
    '/oauth/token.',
    '/oauth/token.json',
  ])('%s', (path) => {
    expect(pathMatcher(path)('/oauth/token')).toBe(true)
  })

  test.each([
    '/',
    '/oauth',
    '/token',
    '/oauth/token/revoke',
    '/oauth/tokens',
    '/oauth-token',
    '/oauth/%zz',
    '/x/oauth/token',
  ])('and %s is another path', (path) => {
    expect(pathMatcher(path)('/oauth/token')).toBe(false)
  })

  test('the root is a path like any other', () => {
    expect(pathMatcher('//')('/')).toBe(true)
    expect(pathMatcher('/x')('/')).toBe(false)
  })
})

test.each([
  ['https://idp.test', ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']],
  ['https://idp.test/', ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']],
  [
    'https://idp.test/tenant/1',
    ['/tenant/1/.well-known/openid-configuration', '/.well-known/oauth-authorization-server/tenant/1'],
  ],
])('the discovery documents of %s', (issuer, paths) => {
  expect(discoveryPaths(issuer)).toEqual(paths)
})

test('a client finds the document under the issuer of the gateway, of its tokens and of upstream', () => {
  const config = configOf({
    UPSTREAM_ISSUER: 'https://idp.test/realm',
    TOKEN_ISSUER: 'https://tokens.test/t',
  })
  expect(ownDiscoveryPaths(config)).toEqual(
    expect.arrayContaining([
      '/.well-known/openid-configuration',
      '/t/.well-known/openid-configuration',
      '/realm/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/realm',
    ]),
  )
})

test('escapes of escapes are undone three deep, so that a long run of them costs no more', () => {
  expect(pathMatcher('/oauth/%252574oken')('/oauth/token')).toBe(true)
  expect(pathMatcher('/oauth/%25252574oken')('/oauth/token')).toBe(false)
})
