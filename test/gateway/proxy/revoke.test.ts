import { decodeJwt } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, type Setup, WORKOS } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { setUpSessions } from '../support/sessions.ts'
import { basic, bearer, mintToken, setUpVerification } from '../support/tokens.ts'
import { makeSigner, UPSTREAM } from '../support/upstream.ts'

const log = captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
  const metadata = setup.upstream.metadata()
  setup.upstream.onMetadata = () =>
    Response.json({ ...metadata, revocation_endpoint: `${UPSTREAM}/token/revocation` })
  setup.upstream.onOther = () => new Response(null, { status: 200 })
})

const BROKEN_UTF8 = new Uint8Array([0x61, 0x3d, 0xff])

test.each(['/logout', '/authorize', '/token/revocation', '/token'])(
  '%s refuses a form that is not UTF-8',
  async (path) => {
    const response = await setup.request(path, { method: 'POST', headers: FORM, body: BROKEN_UTF8 })
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('cannot be read')
  },
)

const SID = 'revoked:production:sid:session_1'
/** A replay has the same id, and lives longer by as much. */
const REUSE_SECONDS = 10
const JTI = 'revoked:production:jti:token_1'

const revoke = (parameters: Record<string, string>, headers: Record<string, string> = {}) =>
  setup.request('/token/revocation', {
    method: 'POST',
    headers: { ...FORM, ...headers },
    body: new URLSearchParams(parameters).toString(),
  })

const isLive = async (token: string) =>
  (await setup.request('/guard?freshness=live', bearer(token))).status === 200

describe('a token of the gateway', () => {
  test('is refused at once, with its session, and upstream hears of it', async () => {
    const token = await mintToken(setup)
    const sibling = await mintToken(setup, { jti: 'token_2' })
    const stranger = await mintToken(setup, { jti: 'token_3', sid: 'session_2' })
    expect(await isLive(token)).toBe(true)
    const response = await revoke({ token, client_id: 'app' })
    expect([response.status, await response.text()]).toEqual([200, ''])
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await Promise.all([token, sibling, stranger].map(isLive))).toEqual([false, false, true])
    expect(setup.upstream.count('/token/revocation')).toBe(1)
    expect(log.text).not.toContain(token)
  })

  test('stays on the denylist until it expires, its session until none of its tokens can be left', async () => {
    const exp = setup.now / 1000 + 120
    await revoke({ token: await mintToken(setup, { exp }) })
    expect(setup.kv.values.get(JTI)).toBe(`{"format":1,"until":${exp + REUSE_SECONDS}}`)
    // A token's 300 s, and before it is minted: 60 to wait for upstream, 10 to give its answer again, 5 to mint.
    expect([setup.kv.ttls.get(JTI), setup.kv.ttls.get(SID)]).toEqual([120 + REUSE_SECONDS, 375])
  })

  // A replay has the same id.
  test('is refused for as long as a replay of it could live', async () => {
    setup = await setUpSessions({ REFRESH_REUSE_SECONDS: '60' })
    const { sid: _, ...claims } = setup.upstream.claims()
    setup.upstream.onMetadata = () =>
      Response.json({ ...setup.upstream.metadata(), revocation_endpoint: `${UPSTREAM}/token/revocation` })
    setup.upstream.onToken = () => setup.upstream.tokens(claims)
    const { access_token: first } = await setup.refreshed()
    await revoke({ token: first })
    setup.now += 59_000
    const { access_token: second } = await setup.refreshed()
    expect(decodeJwt(second).jti).toBe(decodeJwt(first).jti)
    setup.now = (decodeJwt(second).exp as number) * 1000 - 1000
    expect(await isLive(second)).toBe(false)
  })

  test.each(['app', 'my+app', 'my app', 'a%2Bb', 'https://app.test/'])(
    'may be revoked by its client “%s” with Basic, form-encoded or not',
    async (client_id) => {
      const token = await mintToken(setup, { client_id })
      for (const name of [client_id, encodeURIComponent(client_id)]) {
        if (name.includes(':')) continue
        expect((await revoke({ token }, { authorization: basic(name, 's') })).status).toBe(200)
      }
      expect((await revoke({ token }, { authorization: basic('other', 's') })).status).toBe(400)
    },
  )

  test('is written down once, however often it is revoked', async () => {
    const token = await mintToken(setup)
    let puts = 0
    const put = setup.kv.put.bind(setup.kv)
    setup.kv.put = async (...entry) => {
      puts += 1
      return put(...entry)
    }
    for (let i = 0; i < 10; i++) expect((await revoke({ token })).status).toBe(200)
    expect(puts).toBe(2)
    setup.now += 1000
    await revoke({ token })
    expect(puts).toBe(3)
  })

  test('stays there for a minute at least, which is the shortest that KV can', async () => {
    await revoke({ token: await mintToken(setup, { exp: setup.now / 1000 + 5 }) })
    expect(setup.kv.ttls.get(JTI)).toBe(60)
  })

  test('that is bound to a key can be revoked too', async () => {
    await revoke({ token: await mintToken(setup, { cnf: { jkt: 'x' } }) })
    expect(setup.kv.values.has(JTI)).toBe(true)
  })

  test.each([401, 400, 503])('is answered 200 even where upstream says %i', async (status) => {
    setup.upstream.onOther = () => new Response('no', { status })
    expect((await revoke({ token: await mintToken(setup) })).status).toBe(200)
  })

  test('is answered 200 even where upstream is down', async () => {
    setup.upstream.onOther = () => Promise.reject(new Error('down'))
    expect((await revoke({ token: await mintToken(setup) })).status).toBe(200)
    expect(setup.kv.values.has(SID)).toBe(true)
  })

  test('that cannot be written to the denylist is not said to be revoked', async () => {
    setup.kv.fault = () => Promise.reject(new Error('down'))
    const response = await revoke({ token: await mintToken(setup) })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(setup.upstream.count('/token/revocation')).toBe(0)
  })

  test.each<[string, Record<string, string>, Record<string, string>]>([
    ['form', { client_id: 'another' }, {}],
    ['Basic', {}, { authorization: basic('another', 'secret') }],
  ])('of another client is not revoked: %s', async (_, parameters, headers) => {
    const response = await revoke({ token: await mintToken(setup), ...parameters }, headers)
    // A client that mistypes would believe that it is revoked.
    expect([response.status, await response.json()]).toMatchObject([400, { error: 'invalid_client' }])
    expect(setup.kv.values.has(SID)).toBe(false)
    expect(setup.upstream.count('/token/revocation'), 'upstream is not told').toBe(0)
  })

  test('that has expired needs no entry', async () => {
    expect((await revoke({ token: await mintToken(setup, { exp: setup.now / 1000 }) })).status).toBe(200)
    expect(setup.kv.ttls.size).toBe(0)
  })
})

test.each([200, 400, 401])('what is not ours is upstream’s to answer: %i', async (status) => {
  setup.upstream.onOther = () => new Response('upstream says', { status })
  const response = await revoke({ token: 'rt_1', token_type_hint: 'refresh_token', client_id: 'app' })
  expect([response.status, await response.text()]).toEqual([status, 'upstream says'])
  const body = setup.upstream.requests.at(-1)?.body
  expect(body).toBe('token=rt_1&token_type_hint=refresh_token&client_id=app')
  expect(setup.kv.ttls.size).toBe(0)
})

test('a forged token revokes nothing', async () => {
  const token = await mintToken(setup)
  await revoke({ token: `${token.slice(0, -4)}AAAA` })
  expect(setup.kv.ttls.size).toBe(0)
})

test('a request without a token is refused', async () => {
  expect((await revoke({ client_id: 'app' })).status).toBe(400)
  expect(setup.upstream.count('/token/revocation')).toBe(0)
})

describe('logging out', () => {
  test.each(['GET', 'POST'])('with our ID token by %s ends the session for live', async (method) => {
    const token = await mintToken(setup)
    expect(await isLive(token)).toBe(true)
    const hint = await mintToken(setup, { aud: 'app', exp: 1 }, { typ: 'JWT' })
    const parameters = new URLSearchParams({ id_token_hint: hint }).toString()
    const init = method === 'GET' ? { method } : { method, headers: FORM, body: parameters }
    await setup.request(method === 'GET' ? `/logout?${parameters}` : '/logout', init)
    expect(await isLive(token)).toBe(false)
    expect(setup.upstream.requests.at(-1)?.url.pathname).toBe('/logout')
    expect(log.text).not.toContain(hint)
  })

  test('with an ID token from a refresh ends the session that it came with', async () => {
    const { sid: _, ...claims } = setup.upstream.claims()
    const idToken = await setup.upstream.sign({ ...claims, aud: 'app' }, { typ: 'JWT' })
    setup.upstream.onToken = () => setup.upstream.tokens(undefined, { id_token: idToken })
    const { access_token, id_token = '' } = await setup.refreshed()
    expect(decodeJwt(id_token)).toMatchObject({ sub: 'user_1', sid: 'session_1' })
    expect(await isLive(access_token)).toBe(true)
    await setup.request(`/logout?id_token_hint=${id_token}`)
    expect(await isLive(access_token)).toBe(false)
  })

  test('an ID token of another subject is not given the session', async () => {
    const { sid: _, ...claims } = setup.upstream.claims()
    const idToken = await setup.upstream.sign({ ...claims, sub: 'user_2', aud: 'app' }, { typ: 'JWT' })
    setup.upstream.onToken = () => setup.upstream.tokens(undefined, { id_token: idToken })
    expect(decodeJwt((await setup.refreshed()).id_token ?? '')).not.toHaveProperty('sid')
  })

  test('with a hint that is not ours ends nothing', async () => {
    const hint = await setup.upstream.sign({ ...setup.upstream.claims(), aud: 'app' }, { typ: 'JWT' })
    await setup.request(`/logout?id_token_hint=${hint}`)
    expect(setup.kv.ttls.size).toBe(0)
  })

  describe('with an ID token that upstream signed, where tokens keep its issuer', () => {
    beforeEach(async () => {
      setup = await setUpVerification({ TOKEN_ISSUER: 'preserve' })
    })
    const logOut = (hint: string) => setup.request(`/logout?id_token_hint=${hint}`)
    const claims = (members = {}) => ({ ...setup.upstream.claims(), aud: 'app', ...members })

    test.each([0, -3600])(
      'ends its session, and upstream gets it as it is: expired in %i s',
      async (seconds) => {
        const exp = setup.now / 1000 + seconds
        const hint = await setup.upstream.sign(claims({ exp }), { typ: 'JWT' })
        await logOut(hint)
        expect(setup.kv.values.has(SID)).toBe(true)
        expect(setup.upstream.seen('/logout').url.searchParams.get('id_token_hint')).toBe(hint)
      },
    )

    test.each<[string, () => Promise<string>]>([
      [
        'signed by somebody else',
        async () => setup.upstream.sign(claims(), { typ: 'JWT' }, await makeSigner()),
      ],
      ['of another issuer', () => setup.upstream.sign(claims({ iss: 'https://other.test' }), { typ: 'JWT' })],
      ['that is an access token', () => setup.upstream.sign(claims())],
      ['that is none', async () => 'x.y.z'],
      [
        'of another client',
        async () => `${await setup.upstream.sign(claims(), { typ: 'JWT' })}&client_id=other`,
      ],
    ])('but not with one %s', async (_, make) => {
      await logOut(await make())
      expect(setup.kv.ttls.size).toBe(0)
    })
  })

  test('is not held up by KV', async () => {
    setup.kv.fault = () => Promise.reject(new Error('down'))
    const hint = await mintToken(setup, { aud: 'app' }, { typ: 'JWT' })
    expect((await setup.request(`/logout?id_token_hint=${hint}`)).status).toBe(200)
    expect(log.last).toMatchObject({ route: 'logout', warnings: ['denylist_unwritable'] })
  })

  test('goes on when KV does not answer at all', async () => {
    setup.kv.put = () => new Promise(() => {})
    const hint = await mintToken(setup, { aud: 'app' }, { typ: 'JWT' })
    expect((await setup.request(`/logout?id_token_hint=${hint}`)).status).toBe(200)
    expect(log.last).toMatchObject({ route: 'logout', warnings: ['denylist_unwritable'] })
  })

  test.each(['OPTIONS', 'HEAD'])('%s ends nothing', async (method) => {
    const hint = await mintToken(setup, { aud: 'app' }, { typ: 'JWT' })
    await setup.request(`/logout?id_token_hint=${hint}`, { method })
    expect(setup.kv.ttls.size).toBe(0)
  })

  test.each([
    ['OPTIONS', 'session_id=session_1'],
    ['HEAD', 'session_id=session_1'],
    ['PUT', 'session_id=session_1'],
    ['GET', 'session_id=session_1&session_id=mine'],
    ['GET', 'session_id=mine&session_id=session_1'],
    ['GET', ''],
  ])('%s of WorkOS’s log-out with “%s” ends nothing', async (method, query) => {
    setup = await setUpVerification(WORKOS)
    await setup.request(`/user_management/sessions/logout?${query}`, { method })
    expect(setup.upstream.count('/user_management/sessions/logout')).toBe(1)
    expect(setup.kv.ttls.size).toBe(0)
  })

  test('outlasts an answer of upstream’s that is given again after it', async () => {
    setup = await setUpSessions({ REFRESH_REUSE_SECONDS: '60' })
    await setup.refresh()
    const hint = await mintToken(setup, { aud: 'app' }, { typ: 'JWT' })
    await setup.request(`/logout?id_token_hint=${hint}`)
    const loggedOutAt = setup.now
    setup.now += 59_000
    const { access_token } = await setup.refreshed()
    expect(setup.upstream.count('/token')).toBe(1)
    const { exp = 0 } = decodeJwt(access_token)
    expect(loggedOutAt / 1000 + (setup.kv.ttls.get(SID) ?? 0)).toBeGreaterThanOrEqual(exp)
    setup.now = exp * 1000 - 1000
    expect(await isLive(access_token)).toBe(false)
  })

  test.each([
    [302, true],
    [404, false],
  ])('of a WorkOS session that upstream answers with %i: %s', async (status, ended) => {
    setup = await setUpVerification(WORKOS)
    setup.upstream.onOther = () => new Response(null, { status, headers: { location: 'https://app.test' } })
    const response = await setup.request('/user_management/sessions/logout?session_id=session_1')
    expect(response.status).toBe(status)
    expect(setup.kv.values.has(SID)).toBe(ended)
  })
})

describe('WorkOS ends a session that a service names', () => {
  const PATH = '/user_management/sessions/revoke'
  const revokeSession = (body: string, type = 'application/json') =>
    setup.request(PATH, {
      method: 'POST',
      headers: { 'content-type': type, authorization: 'Bearer sk_1' },
      body,
    })

  test.each([
    ['JSON', '{"session_id":"session_1"}', 'application/json'],
    ['a form', 'session_id=session_1', 'application/x-www-form-urlencoded'],
  ])('in %s, and live verification refuses its tokens', async (_, body, type) => {
    setup = await setUpVerification({ ...WORKOS, TOKEN_ISSUER: 'gateway' })
    setup.upstream.onOther = () => Response.json({ id: 'session_1' })
    const token = await mintToken(setup)
    expect(await isLive(token)).toBe(true)
    expect((await revokeSession(body, type)).status).toBe(200)
    expect(setup.upstream.seen(PATH)).toMatchObject({ body })
    expect(setup.upstream.seen(PATH).headers.get('authorization')).toBe('Bearer sk_1')
    expect(await isLive(token)).toBe(false)
  })

  test.each([
    ['upstream refuses', '{"session_id":"session_1"}', 401],
    ['the body names none', '{}', 200],
    ['the id is made up', '{"session_id":"anything"}', 200],
    ['the id is no text', '{"session_id":["session_1"]}', 200],
  ])('but not where %s', async (_, body, status) => {
    setup = await setUpVerification(WORKOS)
    setup.upstream.onOther = () => new Response('{}', { status })
    expect((await revokeSession(body)).status).toBe(status)
    expect(setup.kv.ttls.size).toBe(0)
  })
})

// Without credentials anybody can ask for these: each would be an entry in KV.
test.each([
  'ANYTHING',
  'session_',
  '%00',
  'session_1%00',
  'user_1',
  'session_1/../x',
  'x'.repeat(500),
  'SESSION_1',
])('a log-out of the session “%s” writes nothing', async (id) => {
  setup = await setUpVerification(WORKOS)
  await setup.request(`/user_management/sessions/logout?session_id=${id}`)
  expect(setup.kv.ttls.size).toBe(0)
})

test('a token may be revoked in JSON', async () => {
  const token = await mintToken(setup)
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ token, client_id: 'app' })
  expect((await setup.request('/token/revocation', { method: 'POST', headers, body })).status).toBe(200)
  expect(setup.kv.values.has(SID)).toBe(true)
  expect(setup.upstream.seen('/token/revocation')).toMatchObject({ body })
})
