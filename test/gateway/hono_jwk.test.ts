/** `hono/jwk`, as docs/clients.md has it: a verifier that must be configured with the type of access tokens. */
import { Hono } from 'hono'
import { jwk } from 'hono/jwk'
import type { HonoJsonWebKey } from 'hono/utils/jwt/jws'
import { expect, test } from 'vitest'
import { GATEWAY, setUp } from './support/gateway.ts'
import { captureLog } from './support/log.ts'
import { bearer } from './support/tokens.ts'

captureLog()

test.each([
  ['with', { typ: 'at+jwt', iss: GATEWAY }, 200],
  ['without', { iss: GATEWAY }, 401],
])('hono/jwk %s the type takes a minted token or not', async (_name, verification, status) => {
  const setup = await setUp()
  const keys = async () => {
    const response = await setup.request('/.well-known/jwks.json')
    return ((await response.json()) as { keys: HonoJsonWebKey[] }).keys
  }
  const app = new Hono<{ Variables: { jwtPayload: object } }>()
    .use(jwk({ keys, alg: ['ES256'], verification }))
    .get('/', (c) => c.json(c.get('jwtPayload')))
  const { access_token: token } = await setup.refreshed()
  const response = await app.request('/', bearer(token))
  expect(response.status).toBe(status)
  if (status === 200)
    expect(await response.json()).toMatchObject({ sub: 'user_1', feature_flags: ['reports'] })
})
