/** The published key set marks the gateway's own keys, so that a verifier can tell them from upstream's. */
import { describe, expect, test } from 'vitest'
import { makeSigningKey, type Setup, setUp } from '../support/gateway.ts'

const published = async (setup: Setup): Promise<Record<string, unknown>[]> => {
  const response = await setup.request('/.well-known/jwks.json')
  return ((await response.json()) as { keys: Record<string, unknown>[] }).keys
}
const marks = async (setup: Setup) => (await published(setup)).map(({ kid, remint }) => [kid, remint])

describe('with an issuer of its own', () => {
  test('every key is marked with the environment, next and retired ones too', async () => {
    const [active, next, old] = await Promise.all([makeSigningKey(), makeSigningKey(), makeSigningKey()])
    const { d: _, ...retired } = old
    const setup = await setUp({ SIGNING_KEYS: JSON.stringify({ keys: [active, next, retired] }) })
    expect(await marks(setup)).toEqual([active, next, retired].map(({ kid }) => [kid, 'production']))
  })

  test('a mark in the secret counts for nothing', async () => {
    const key = { ...(await makeSigningKey()), remint: 'staging' }
    const setup = await setUp({ SIGNING_KEYS: JSON.stringify({ keys: [key] }) })
    expect(await marks(setup)).toEqual([[key.kid, 'production']])
  })
})

describe('with upstream’s issuer', () => {
  test('upstream’s keys are published unmarked, also where upstream marks them', async () => {
    const setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    const { jwk } = setup.upstream.signer
    setup.upstream.onJwks = () => Response.json({ keys: [{ ...jwk, remint: 'production' }] })
    expect(await marks(setup)).toEqual([
      [setup.signingKey.kid, 'production'],
      [jwk.kid, undefined],
    ])
  })
})

describe('/remint/jwks.json', () => {
  const own = async (setup: Setup, init?: RequestInit) => setup.request('/remint/jwks.json', init)

  test.each(['gateway', 'preserve'])(
    'holds the gateway’s own keys alone, with TOKEN_ISSUER=%s',
    async (TOKEN_ISSUER) => {
      const setup = await setUp({ TOKEN_ISSUER })
      const response = await own(setup)
      const { keys } = (await response.json()) as { keys: Record<string, unknown>[] }
      expect(keys.map(({ kid, remint, d }) => [kid, remint, d])).toEqual([
        [setup.signingKey.kid, 'production', undefined],
      ])
      expect(response.headers.get('cache-control')).toBe('public, max-age=300')
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    },
  )

  test('is there while upstream is not', async () => {
    const setup = await setUp({ TOKEN_ISSUER: 'preserve' })
    setup.upstream.onJwks = () => new Response('', { status: 500 })
    setup.upstream.onMetadata = () => new Response('', { status: 500 })
    expect((await own(setup)).status).toBe(200)
    expect(setup.upstream.requests).toEqual([])
  })

  test('answers a preflight', async () => {
    const headers = { origin: 'https://app.test', 'access-control-request-method': 'GET' }
    const response = await own(await setUp(), { method: 'OPTIONS', headers })
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
  })
})
