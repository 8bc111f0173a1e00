import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { expect, test } from 'vitest'
import { setUp } from '../support/gateway.ts'

test('a refresh comes back with a re-signed access token that carries the flags of now', async () => {
  const setup = await setUp()
  const response = await setup.refresh()
  expect(response.status).toBe(200)
  const answer = (await response.json()) as {
    access_token: string
    expires_in: number
    refresh_token: string
  }
  const jwks = createLocalJWKSet(await (await setup.request('/.well-known/jwks.json')).json())
  const { payload } = await jwtVerify(answer.access_token, jwks)
  expect(payload).toMatchObject({ iss: 'https://auth.test', sub: 'user_1', feature_flags: ['reports'] })
  expect(decodeProtectedHeader(answer.access_token)).toMatchObject({
    typ: 'at+jwt',
    kid: setup.signingKey.kid,
  })
  expect(answer.expires_in).toBe(300)
  expect(answer.refresh_token).toBe('rotated')
  expect(payload.jti).not.toBe('upstream-jti')
})
