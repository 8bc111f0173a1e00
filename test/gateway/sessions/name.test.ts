/** Who gets a stored answer and who does not: everything that upstream's answer depends on keeps two requests apart. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { verifyProof } from '../../../src/gateway/sessions/dpop.ts'
import { importPepper, type NamedRequest, nameOf } from '../../../src/gateway/sessions/name.ts'
import { FORM, GATEWAY, WORKOS } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { PEPPER, setUpSessions } from '../support/sessions.ts'
import { makeSigner, type Signer } from '../support/upstream.ts'

const log = captureLog()

type Difference = [name: string, parameters: Record<string, string>, headers?: Record<string, string>]

describe('an answer is never given to a request with', () => {
  test.each<Difference>([
    ['another client', { client_id: 'other' }],
    ['another client secret', { client_secret: 'guess' }],
    ['client credentials in the header', {}, { authorization: 'Basic YXBwOmd1ZXNz' }],
    ['another client assertion, whose signature only upstream can check', { client_assertion: 'a.b.c' }],
    ['another refresh token', { refresh_token: 'another' }],
    ['another scope', { scope: 'openid admin' }],
    ['another resource', { resource: 'https://other.test' }],
    ['another organization', { organization_id: 'org_globex' }],
    ['a parameter that nobody here has heard of', { tenant: 'globex' }],
    ['an API key', {}, { 'x-api-key': 'k2' }],
    ['a client attestation', {}, { 'oauth-client-attestation': 'a2' }],
    ['a cookie', {}, { cookie: 'sid=2' }],
    ...['x-tenant-id', 'x-organization-id', 'x-device-id', 'x-user-id', 'x-api-key', 'x-app'].map(
      (name): Difference => [name, {}, { [name]: '2' }],
    ),
    // An allow-list of headers that look like credentials missed every one of these.
    ...[
      ...['x-jwt-assertion', 'x-app-password', 'x-hmac', 'x-amz-security-token', 'x-instance-token'],
      ...['x-tenant-id', 'x-user-id', 'a-header-of-tomorrow', 'origin'],
    ].map((name): Difference => [`a header ${name}`, {}, { [name]: 'other' }]),
    [
      'its body in another charset',
      {},
      { 'content-type': 'application/x-www-form-urlencoded;charset=iso-8859-1' },
    ],
  ])('%s', async (_, parameters, headers) => {
    const setup = await setUpSessions()
    expect((await setup.refreshWith()).status).toBe(200)
    setup.upstream.onToken = () => Response.json({ error: 'invalid_client' }, { status: 401 })
    const response = await setup.refreshWith(parameters, headers)
    expect([response.status, await response.json()]).toEqual([401, { error: 'invalid_client' }])
    expect(setup.asked()).toBe(2)
  })
})

describe('bodies that parsing makes equal, and upstream may not, have names of their own', () => {
  const form = 'grant_type=refresh_token&refresh_token=TOKEN&client_id=app'
  const json = (member: string) => `{"grant_type":"refresh_token","refresh_token":"TOKEN",${member}}`
  test.each([
    ['bytes that are not UTF-8', `${form}&client_secret=%FF`, `${form}&client_secret=%FE`],
    ['a byte and its replacement', `${form}&client_secret=p%E9`, `${form}&client_secret=p%EF%BF%BD`],
    ['repeated members in another order', `${form}&resource=a&resource=b`, `${form}&resource=b&resource=a`],
    [
      'numbers of more digits than JavaScript holds',
      json('"o":9007199254740993'),
      json('"o":9007199254740992'),
    ],
    ['a number that is too large, and null', json('"o":1e999'), json('"o":null')],
    ['a member repeated within a value', json('"o":{"a":1,"a":3}'), json('"o":{"a":2,"a":3}')],
    ['a form and JSON', form, json('"client_id":"app"')],
  ])('%s', async (_, first, second) => {
    const setup = await setUpSessions(WORKOS)
    const token = crypto.randomUUID()
    const send = (body: string) =>
      setup.request('/user_management/authenticate', {
        method: 'POST',
        headers: body.startsWith('{') ? { 'content-type': 'application/json' } : FORM,
        body: body.replace('TOKEN', token),
      })
    expect((await send(first)).status).toBe(200)
    setup.upstream.onToken = () => Response.json({ error: 'invalid_client' }, { status: 401 })
    expect([(await send(second)).status, setup.asked()]).toEqual([401, 2])
    expect((await send(first)).status).toBe(200)
  })
})

describe('an answer is given again to a request with', () => {
  test.each<Difference>([
    ['nothing else', {}],
    ['another idempotency key', {}, { 'idempotency-key': 'i2' }],
    ['another trace', {}, { traceparent: '00-2', baggage: 'a=b', 'x-b3-traceid': '2', 'x-request-id': 'r2' }],
    [
      'another agent',
      {},
      { 'user-agent': 'other', accept: '*/*', 'sec-ch-ua': 'b', 'sec-fetch-mode': 'cors' },
    ],
    ['another network', {}, { 'cf-connecting-ip': '192.0.2.7', 'x-forwarded-for': '192.0.2.7' }],
    // The agents that pages and proxies carry: one header a request, new each time.
    ...[
      ...['newrelic', 'x-newrelic-id', 'x-newrelic-transaction', 'elastic-apm-traceparent', 'uber-trace-id'],
      ...[
        'x-instana-t',
        'x-instana-s',
        'request-id',
        'request-context',
        'sw8',
        'sw8-correlation',
        'x-honeycomb-trace',
      ],
      ...[
        'x-dtpc',
        'x-dynatrace',
        'x-ot-span-context',
        'ot-tracer-traceid',
        'ot-baggage-a',
        'grpc-trace-bin',
      ],
      ...['client-request-id', 'x-ms-client-request-id', 'adrum', 'x-trace-id', 'trace-id', 'x-session-id'],
      ...[
        'x-transaction-id',
        'correlation-id',
        'x-amz-cf-id',
        'x-amzn-trace-id',
        'x-vercel-id',
        'x-request-start',
      ],
      ...['x-posthog-session-id', 'x-posthog-window-id', 'x-span-id', 'x-b3-spanid', 'x-parent-span-id'],
      ...['x-vcap-request-id', 'x-kong-request-id', 'apigw-requestid', 'x-splunk-requestid', 'x-tt-logid'],
      ...[
        'eagleeye-traceid',
        'eagleeye-rpcid',
        'ms-cv',
        'x-ms-correlation-request-id',
        'mise-correlation-id',
      ],
      ...[
        'singularityheader',
        'amz-sdk-invocation-id',
        'amz-sdk-request',
        'x-correlationid',
        'x-request-uuid',
      ],
      ...[
        'rndr-id',
        'x-varnish',
        'x-akamai-request-id',
        'x-logrocket-url',
        'x-retry-attempt',
        'date',
        'traceresponse',
      ],
      ...['x-datadog-trace-id', 'jaeger-debug-id', 'uberctx-a', 'x-lightstep-id', 'tracestate'],
    ].map((name): Difference => [`another ${name}`, {}, { [name]: crypto.randomUUID() }]),
    ['another token against forgery by pages', {}, { 'x-csrf-token': 'c2', 'x-xsrf-token': 'c2' }],
  ])('%s', async (_, parameters, headers) => {
    const setup = await setUpSessions()
    await setup.refreshWith()
    expect((await setup.refreshWith(parameters, headers)).status).toBe(200)
    expect(setup.asked()).toBe(1)
  })

  test('its parameters in another order', async () => {
    const setup = await setUpSessions()
    await setup.refreshWith()
    const body = 'client_id=app&refresh_token=TOKEN&grant_type=refresh_token'
    const token = new URLSearchParams(setup.upstream.requests.at(-1)?.body).get('refresh_token')
    await setup.refresh({ body: body.replace('TOKEN', token as string) })
    expect(setup.asked()).toBe(1)
  })
})

describe('DPoP', async () => {
  const proof = async (signer: Signer, claims: Record<string, unknown> = {}, jwk: unknown = signer.jwk) => {
    const { kty, crv, x, y } = jwk as Record<string, string>
    return new SignJWT({ jti: crypto.randomUUID(), htm: 'POST', htu: `${GATEWAY}/token`, ...claims })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } as never })
      .sign(signer.key)
  }
  const [mine, theirs] = await Promise.all([makeSigner('ES256'), makeSigner('ES256')])

  const first = async () => {
    const setup = await setUpSessions()
    const iat = setup.now / 1000
    expect((await setup.refreshWith({}, { dpop: await proof(mine, { iat }) })).status).toBe(200)
    setup.upstream.onToken = () => Response.json({ error: 'invalid_dpop_proof' }, { status: 400 })
    return { setup, iat }
  }

  test('the same key with a new proof gets the answer again', async () => {
    const { setup, iat } = await first()
    const response = await setup.refreshWith({}, { dpop: await proof(mine, { iat }) })
    expect([response.status, setup.asked()]).toEqual([200, 1])
  })

  test.each([
    ...['ES256', 'ES384', 'ES512', 'EdDSA'],
    ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ])('a proof by %s is one', async (alg) => {
    const { privateKey, publicKey } = await generateKeyPair(alg)
    const proof = await new SignJWT({ htm: 'POST', htu: `${GATEWAY}/token`, iat: 1_000 })
      .setProtectedHeader({ typ: 'dpop+jwt', alg, jwk: await exportJWK(publicKey) })
      .sign(privateKey)
    expect(await verifyProof(proof, [`${GATEWAY}/token`], 1_000_000)).toMatchObject({ ok: true })
  })

  const refused: [string, (iat: number) => Promise<string | undefined>][] = [
    ['no proof', async () => undefined],
    ['a proof of another key', (iat) => proof(theirs, { iat })],
    [
      'a forged proof: the key of the one, the signature of another',
      (iat) => proof(theirs, { iat }, mine.jwk),
    ],
    ['a proof for another address', (iat) => proof(mine, { iat, htu: 'https://elsewhere.test/token' })],
    ['a proof for another path', (iat) => proof(mine, { iat, htu: `${GATEWAY}/userinfo` })],
    ['a proof for another method', (iat) => proof(mine, { iat, htm: 'GET' })],
    ['a proof of long ago', (iat) => proof(mine, { iat: iat - 301 })],
    ['a proof of the future', (iat) => proof(mine, { iat: iat + 31 })],
    ['a proof without a time', () => proof(mine)],
    ['what is no proof', async () => 'not.a.proof'],
    ['two proofs', async (iat) => `${await proof(mine, { iat })}, ${await proof(mine, { iat })}`],
  ]
  test.each(refused)('%s gets nothing that was stored: upstream decides', async (_, make) => {
    const { setup, iat } = await first()
    const dpop = await make(iat)
    const response = await setup.refreshWith({}, dpop === undefined ? {} : { dpop })
    expect([response.status, await response.json()]).toEqual([400, { error: 'invalid_dpop_proof' }])
    expect(setup.asked()).toBe(2)
  })

  test('a proof that does not verify never meets an object, and the log says so', async () => {
    const { setup, iat } = await first()
    const calls = setup.names.length
    await setup.refreshWith({}, { dpop: await proof(theirs, { iat }, mine.jwk) })
    expect(setup.names).toHaveLength(calls)
    expect(log.last).toMatchObject({ session: 'bypassed', warnings: ['session_bypassed'] })
  })
})

test('a name says nothing: no token, no secret, and another pepper makes another', async () => {
  const secret = crypto.randomUUID()
  const refreshToken = crypto.randomUUID()
  const named = async (vars = {}) => {
    const setup = await setUpSessions(vars)
    await setup.refreshWith({ refresh_token: refreshToken, client_secret: secret })
    expect(log.text).not.toContain(secret)
    expect(log.text).not.toContain(refreshToken)
    expect(log.text).not.toContain(PEPPER)
    return setup.names[0] as string
  }
  const name = await named()
  expect(name).toMatch(/^[\w-]{43}$/)
  expect(await named()).toBe(name)
  expect(await named({ SESSION_PEPPER: `${PEPPER}!` })).not.toBe(name)
})

describe('in the name by itself is', async () => {
  const request: NamedRequest = {
    issuer: 'https://idp.test',
    url: 'https://idp.test/token',
    written: [['refresh_token', 'refresh_token=r1']],
    headers: new Headers({ authorization: 'Basic YTpi' }),
    proofThumbprint: undefined,
  }
  const pepper = await importPepper(PEPPER)

  test.each<[string, Partial<NamedRequest>]>([
    ['the issuer', { issuer: 'https://idp.test/tenant' }],
    ['the endpoint', { url: 'https://idp.test/other' }],
    ['its query', { url: 'https://idp.test/token?p=policy' }],
    ['a parameter', { written: [['refresh_token', 'refresh_token=r2']] }],
    ['a header', { headers: new Headers({ authorization: 'Basic YTpj' }) }],
    ['the key that a proof shows', { proofThumbprint: 'thumbprint' }],
  ])('%s', async (_, difference) => {
    const name = await nameOf(request, pepper)
    expect(await nameOf({ ...request }, pepper)).toBe(name)
    expect(await nameOf({ ...request, ...difference }, pepper)).not.toBe(name)
  })
})
