import { describe, expect, test } from 'vitest'
import { canonicalPath, discoveryAt, discoveryPaths, pathMatcher } from '../../../src/gateway/http/paths.ts'
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
    // Rails takes any extension, HTTP.sys `%u`, IIS wide letters, others trim white space.
    ...['/oauth/token.xml', '/OAuth/Token.XML', '/oauth/token.x.y', '/oauth/token%2exml', '/oauth/token.;x'],
    ...['/oauth/token%09', '/oauth/token%0a', '/oauth/token%0d%0a', '/oauth/%20token', '/oauth/token%7f'],
    ...[
      '/oauth/%u0074oken',
      '/oauth/%U0074oken',
      '/oauth/%uff54oken',
      '/oauth%u002ftoken',
      '/oauth/token%u0020',
    ],
    ...['/oauth/token...', '/oauth/token. . .'],
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
  for (const path of [
    '/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server',
    '/t/.well-known/openid-configuration',
    '/realm/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server/realm',
    // The other way round, where some clients look and some providers answer.
    '/realm/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration/realm',
    '/Realm//.well-known/OpenID-Configuration/',
    '/realm/.well-known/openid-configuration.json',
  ]) {
    expect(discoveryAt(canonicalPath(path), config, []), path).toBe('own')
  }
})

test.each([
  '/other/.well-known/openid-configuration',
  '/.well-known/openid-configuration/other',
  '/realm/sub/.well-known/oauth-authorization-server',
  '/realm/.well-known/uma2-configuration',
  '/.well-known/smart-configuration',
  '/.well-known/openid-federation',
])('%s would lead a client past the gateway', (path) => {
  const config = configOf({ UPSTREAM_ISSUER: 'https://idp.test/realm' })
  expect(discoveryAt(canonicalPath(path), config, [])).toBe('leads_past')
})

test.each(['/.well-known/security.txt', '/.well-known/change-password', '/docs/openid-configuration', '/'])(
  '%s is upstream’s',
  (path) => {
    expect(discoveryAt(canonicalPath(path), configOf(), [])).toBeUndefined()
  },
)

test('a long row of dots takes no time', () => {
  const path = `/${'.'.repeat(60_000)}a${'.'.repeat(60_000)}`
  expect(canonicalPath(path)).toHaveLength(60_001)
})

test('escapes of escapes are undone three deep, so that a long run of them costs no more', () => {
  expect(pathMatcher('/oauth/%252574oken')('/oauth/token')).toBe(true)
  expect(pathMatcher('/oauth/%25252574oken')('/oauth/token')).toBe(false)
})
