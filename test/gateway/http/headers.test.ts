import { describe, expect, test } from 'vitest'
import { requestHeaders, responseHeaders, rewriteLocation } from '../../../src/gateway/http/headers.ts'
import { configOf } from '../support/gateway.ts'

const config = configOf({ UPSTREAM_ISSUER: 'https://login.idp.test/tenant' })

describe('what upstream receives of a request', () => {
  test('everything that is not about the connection, as it came', () => {
    const given = {
      accept: 'application/json',
      authorization: 'Basic YTpi',
      'content-type': 'text/plain',
      cookie: 'a=1; b=2',
      dpop: 'proof',
      'idempotency-key': 'k',
      'if-none-match': '"x"',
      'x-request-id': 'r',
    }
    expect(Object.fromEntries(requestHeaders(new Headers(given), config))).toEqual({
      ...given,
      'x-forwarded-host': 'auth.test',
      'x-forwarded-proto': 'https',
    })
  })

  test('nothing that the client claims about itself, in any spelling of X-Forwarded', () => {
    const claimed = {
      forwarded: 'for=6.6.6.6',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-host': 'evil.test',
      'x-forwarded-proto': 'http',
      'x-forwarded-port': '1',
      'x-forwarded-prefix': '/evil',
      'x-real-ip': '6.6.6.6',
      'true-client-ip': '6.6.6.6',
      host: 'evil.test',
      'cf-ray': 'r',
      'cf-connecting-ip': '1.2.3.4',
    }
    expect(Object.fromEntries(requestHeaders(new Headers(claimed), config))).toEqual({
      'x-forwarded-for': '1.2.3.4',
      'x-forwarded-host': 'auth.test',
      'x-forwarded-proto': 'https',
    })
  })

  test.each([
    'client-cert',
    'client-cert-chain',
    'ssl-client-cert',
    'x-ssl-client-verify',
    'x-client-cert',
    'x-client-ip',
    'x-forwarded',
    'x_forwarded_host',
    'x-original-url',
    'x-original-host',
    'x-rewrite-url',
    'x-host',
    ...['X-ARR-ClientCert', 'X-Amzn-Mtls-Clientcert', 'X-SSL-Cert', 'X-Tls-Client-Cert', 'X_SSL_CERT'],
    ...['Remote-User', 'X-Remote-User', 'REMOTE_USER', 'X-Remote-Group', 'X-Amzn-Oidc-Data'],
    ...['X-Amzn-Oidc-Identity', 'X-MS-Client-Principal', 'X-MS-Client-Principal-Name'],
    ...['X-Goog-Authenticated-User-Email', 'X-Goog-IAP-JWT-Assertion', 'X-Auth-Request-Email'],
    ...['X-WebAuth-User', 'X-Consumer-Username', 'X-Authentik-Username', 'X-Pomerium-Jwt-Assertion'],
    ...['Client-IP', 'Fastly-Client-IP', 'X-Azure-ClientIP', 'X-Azure-FDID', 'WL-Proxy-Client-IP'],
    ...['WL-Proxy-SSL', 'X-Originating-IP', 'X-Envoy-External-Address', 'X-Envoy-Original-Path'],
    // SiteMinder, WebSEAL, Oracle, Shibboleth, mod_auth_openidc, APISIX, Istio, Google's API Gateway, Tailscale, Teleport.
    ...['SM_USER', 'SM-UniversalID', 'IV-User', 'iv_groups', 'OAM_REMOTE_USER', 'Shib-Identity-Provider'],
    ...[
      'OIDC_CLAIM_sub',
      'OIDC-access-token',
      'X-Userinfo',
      'X-ID-Token',
      'X-Jwt-Payload',
      'X-Jwt-Claim-Sub',
    ],
    ...[
      'X-Endpoint-API-UserInfo',
      'X-Apigateway-Api-Userinfo',
      'Tailscale-User-Login',
      'Teleport-Jwt-Assertion',
    ],
    // By these Zitadel chooses the instance.
    ...['X-Zitadel-Public-Host', 'X-Zitadel-Instance-Host', 'X-Zitadel-Forwarded'],
    // Addresses, as other edges name them.
    ...['Fly-Client-IP', 'X-Vercel-Forwarded-For', 'X-NF-Client-Connection-IP', 'DO-Connecting-IP'],
    ...['Incap-Client-IP', 'X-Sucuri-ClientIP', 'CloudFront-Viewer-Address', 'X-Forwarded-Client-Cert'],
    ...['X-Prefix', 'X-Scheme', 'X-Url-Scheme', 'X-Script-Name', 'Front-End-Https', 'X-Accel-Mapping'],
  ])('nothing that only a trusted proxy may say: %s', (name) => {
    expect([...requestHeaders(new Headers({ [name]: 'evil' }), config).keys()]).toEqual([
      'x-forwarded-host',
      'x-forwarded-proto',
    ])
  })

  test.each([
    ...['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'x_http_method_override'],
    ...['X-Method', 'X-Original-Method'],
  ])('nothing that makes it a request of another method: %s', (name) => {
    expect(requestHeaders(new Headers({ [name]: 'POST' }), config).has(name)).toBe(false)
  })

  test('nothing that STRIP_HEADERS names, in any spelling', () => {
    const strict = configOf({ STRIP_HEADERS: 'X-My-Proxy-User, x-my-cert' })
    const given = { 'x-my-proxy-user': 'a', X_My_Cert: 'b', 'x-my-other': 'c' }
    const { 'x-my-other': kept, ...others } = Object.fromEntries(requestHeaders(new Headers(given), strict))
    expect([kept, Object.keys(others).filter((name) => /my/.test(name))]).toEqual(['c', []])
  })

  test('no hop-by-hop field, and none that Connection names', () => {
    const headers = new Headers({
      connection: 'close, X-Hop , bad name(',
      'x-hop': '1',
      'keep-alive': 'timeout=5',
      'proxy-authorization': 'Basic x',
      te: 'trailers',
      trailer: 'x',
      'transfer-encoding': 'chunked',
      upgrade: 'websocket',
      'content-length': '5',
    })
    expect([...requestHeaders(headers, config).keys()]).toEqual(['x-forwarded-host', 'x-forwarded-proto'])
  })
})

describe('what the client receives of an answer', () => {
  test('several Set-Cookie stay several', () => {
    const headers = new Headers()
    headers.append('set-cookie', 'a=1; Path=/')
    headers.append('set-cookie', 'b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT')
    expect(new Headers(responseHeaders(headers, config)).getSetCookie()).toEqual([
      'a=1; Path=/',
      'b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT',
    ])
  })

  test.each([
    ...['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'x_http_method_override'],
    ...['X-Method', 'X-Original-Method'],
  ])('nothing that makes it a request of another method: %s', (name) => {
    expect(requestHeaders(new Headers({ [name]: 'POST' }), config).has(name)).toBe(false)
  })

  test('nothing that STRIP_HEADERS names, in any spelling', () => {
    const strict = configOf({ STRIP_HEADERS: 'X-My-Proxy-User, x-my-cert' })
    const given = { 'x-my-proxy-user': 'a', X_My_Cert: 'b', 'x-my-other': 'c' }
    const { 'x-my-other': kept, ...others } = Object.fromEntries(requestHeaders(new Headers(given), strict))
    expect([kept, Object.keys(others).filter((name) => /my/.test(name))]).toEqual(['c', []])
  })

  test.each([
    ['upstream’s host', 'a=1; Path=/; Domain=idp.test; Secure', 'a=1; Path=/; Secure'],
    ['both of upstream’s hosts', 'a=1;domain=.IDP.test;Path=/', 'a=1;Path=/'],
    ['its issuer’s host, with a dot', 'a=1; domain=.login.idp.test', 'a=1'],
    ['a domain over both', 'a=1; Domain=test', 'a=1; Domain=test'],
    ['the gateway’s own host', 'a=1; Domain=auth.test', 'a=1; Domain=auth.test'],
    ['somebody else’s', 'a=1; Domain=other.test', 'a=1; Domain=other.test'],
    ['none, although its value looks like it', 'a="; Domain=x"; Path=/', 'a="; Domain=x"; Path=/'],
    ['no value', 'a=1; Domain; Path=/', 'a=1; Domain; Path=/'],
  ])('a cookie for %s', (_, given, received) => {
    const headers = new Headers({ 'set-cookie': 'first=1; Domain=idp.test' })
    headers.append('set-cookie', given)
    expect(responseHeaders(headers, config).getSetCookie()).toEqual(['first=1', received])
  })

  test('no hop-by-hop field', () => {
    const headers = new Headers({ connection: 'x-hop', 'x-hop': '1', 'keep-alive': '5', 'retry-after': '7' })
    expect([...responseHeaders(headers, config)]).toEqual([['retry-after', '7']])
  })
})

describe('a redirect', () => {
  test.each([
    ['to upstream', 'https://idp.test/login?x=1', 'https://auth.test/login?x=1'],
    ['to upstream itself', 'https://idp.test', 'https://auth.test'],
    ['to the origin of its issuer', 'https://login.idp.test/a', 'https://auth.test/a'],
    ['with its default port', 'https://idp.test:443/login', 'https://auth.test/login'],
    ['in capitals', 'HTTPS://IDP.TEST/Login', 'https://auth.test/Login'],
    ['without a scheme', '//idp.test/login', 'https://auth.test/login'],
    ['with nothing but a query', 'https://idp.test:443?x', 'https://auth.test?x'],
    ['to a user of a host that begins like it', 'https://idp.test@evil.test/', 'https://idp.test@evil.test/'],
    ['within upstream, by path', '/login', '/login'],
    ['to a host that only begins like it', 'https://idp.test.evil.test/', 'https://idp.test.evil.test/'],
    ['to another port', 'https://idp.test:8443/', 'https://idp.test:8443/'],
    ['to the client', 'https://app.test/cb?code=c&state=s', 'https://app.test/cb?code=c&state=s'],
    [
      'to the client with the issuer that answers',
      'https://app.test/cb?code=c&iss=https%3A%2F%2Flogin.idp.test%2Ftenant&state=s',
      'https://app.test/cb?code=c&iss=https%3A%2F%2Fauth.test&state=s',
    ],
    [
      'with the issuer in a fragment, not escaped',
      'https://app.test/cb#iss=https://login.idp.test/tenant',
      'https://app.test/cb#iss=https%3A%2F%2Fauth.test',
    ],
    [
      'with the iss of somebody else',
      'https://app.test/cb?iss=https%3A%2F%2Fother.test',
      'https://app.test/cb?iss=https%3A%2F%2Fother.test',
    ],
    ['with an iss that cannot be decoded', 'https://app.test/cb?iss=%zz', 'https://app.test/cb?iss=%zz'],
    [
      'with a parameter that ends in iss',
      'https://app.test/cb?miss=https%3A%2F%2Flogin.idp.test%2Ftenant',
      'https://app.test/cb?miss=https%3A%2F%2Flogin.idp.test%2Ftenant',
    ],
    ['that is no address', 'not an address', 'not an address'],
  ])('%s', (_, location, rewritten) => {
    expect(rewriteLocation(location, config)).toBe(rewritten)
  })

  test('keeps the issuer where tokens keep it', () => {
    const location = 'https://app.test/cb?iss=https%3A%2F%2Fidp.test'
    expect(rewriteLocation(location, configOf({ TOKEN_ISSUER: 'preserve' }))).toBe(location)
  })
})
