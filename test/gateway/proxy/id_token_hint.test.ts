import { importJWK } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { FORM, type Setup, setUp } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'

const log = captureLog()
let setup: Setup
let hint: string

/** An ID token that the gateway minted. */
async function ownHint(members: Record<string, unknown> = {}, vars = {}): Promise<string> {
  setup = await setUp(vars)
  setup.upstream.onToken = async () =>
    setup.upstream.tokens(undefined, { id_token: await setup.upstream.idToken({ at_hash: 'x', ...members }) })
  return (await setup.refreshed()).id_token as string
}

beforeEach(async () => {
  hint = await ownHint()
})

const query = (path: string, parameters: Record<string, string>) =>
  setup.request(`${path}?${new URLSearchParams(parameters)}`)
const sent = (path: string) => Object.fromEntries(setup.upstream.seen(path).url.searchParams)

describe('a hint that the gateway signed becomes the client_id that it was issued to', () => {
  test.each(['/logout', '/authorize', '/Logout/'])('on its way to %s', async (path) => {
    const response = await query(path, { id_token_hint: hint, state: 's &' })
    expect(response.status).toBe(200)
    expect(sent(path)).toEqual({ state: 's &', client_id: 'app' })
  })

  test('in a form', async () => {
    const body = new URLSearchParams({ id_token_hint: hint, state: 's' }).toString()
    await setup.request('/logout', { method: 'POST', headers: FORM, body })
    expect(setup.upstream.seen('/logout').body).toBe('state=s&client_id=app')
  })

  test('also when it has expired, and when the client names itself', async () => {
    setup.now += 30 * 24 * 3600 * 1000
    await query('/logout', { id_token_hint: hint, client_id: 'app' })
    expect(sent('/logout')).toEqual({ client_id: 'app' })
  })

  test('the authorized party among several audiences', async () => {
    hint = await ownHint({ aud: ['other', 'app'], azp: 'app' })
    await query('/logout', { id_token_hint: hint })
    expect(sent('/logout')).toEqual({ client_id: 'app' })
  })

  test.each(['app', 'other'])(
    'one of several audiences, where the client names itself: %s',
    async (client_id) => {
      hint = await ownHint({ aud: ['other', 'app'] })
      await query('/logout', { id_token_hint: hint, client_id })
      expect(sent('/logout')).toEqual({ client_id })
    },
  )

  test('also where tokens keep upstream’s issuer', async () => {
    hint = await ownHint({}, { TOKEN_ISSUER: 'preserve' })
    await query('/logout', { id_token_hint: hint })
    expect(sent('/logout')).toEqual({ client_id: 'app' })
  })
})

describe('a hint of another client is refused', () => {
  test('in a query and in a form, and upstream does not hear of it', async () => {
    const parameters = { id_token_hint: hint, client_id: 'other' }
    const body = new URLSearchParams(parameters).toString()
    for (const response of [
      await query('/logout', parameters),
      await setup.request('/logout', { method: 'POST', headers: FORM, body }),
    ]) {
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ code: 'hint_of_another_client' })
    }
    expect(setup.upstream.count('/logout')).toBe(0)
    expect(log.text).not.toContain(hint)
  })
})

describe('what is not ours passes unchanged', () => {
  test('upstream’s own hint, a forged one, an access token, and text', async () => {
    const { upstream } = setup
    const { access_token } = await setup.refreshed()
    const segments = hint.split('.')
    segments[1] = segments[1]?.replace(/^./, 'f') as string
    for (const other of [await upstream.idToken(), segments.join('.'), access_token, 'text']) {
      const search = `?state=%20s&id_token_hint=${other}`
      await setup.request(`/logout${search}`)
      expect(upstream.seen('/logout').url.search).toBe(search)
    }
  })

  test('one that our key signed for another issuer, as before a change of TOKEN_ISSUER', async () => {
    const key = (await importJWK(setup.signingKey, 'ES256')) as CryptoKey
    const signer = { key, alg: 'ES256', jwk: setup.signingKey }
    const other = await setup.upstream.sign({ iss: 'https://old.test', aud: 'app' }, { typ: 'JWT' }, signer)
    await query('/logout', { id_token_hint: other })
    expect(sent('/logout')).toEqual({ id_token_hint: other })
  })

  test('a request without one, byte for byte', async () => {
    const body = 'b=%zz&a=+%20&b=2'
    await setup.request('/logout?z=+&y=%7E', { method: 'POST', headers: FORM, body })
    expect(setup.upstream.seen('/logout')).toMatchObject({ body })
    expect(setup.upstream.seen('/logout').url.search).toBe('?z=+&y=%7E')
  })

  test('our hint on its way to any other path', async () => {
    await query('/userinfo', { id_token_hint: hint })
    expect(sent('/userinfo')).toEqual({ id_token_hint: hint })
  })
})

test('a form above 64 KiB is refused', async () => {
  const body = `id_token_hint=${'x'.repeat(65 * 1024)}`
  const response = await setup.request('/logout', { method: 'POST', headers: FORM, body })
  expect(response.status).toBe(413)
  expect(setup.upstream.count('/logout')).toBe(0)
})
