import { expect, test } from 'vitest'
import { mintedClaims } from '../../src/core/minted_claims.ts'

const MINTING = {
  issuer: 'https://auth.test',
  iat: 1000,
  exp: 1300,
  jti: 'token_1',
  flags: ['b', 'a', 'b'],
  meta: { env: 'production', ver: '87.12', as_of: 1000, src: 'fresh' as const },
}

test('who a token is for is upstream’s; issuer, times, id and flags are the gateway’s', () => {
  const upstream = {
    ...{ iss: 'https://idp.test', sub: 'user_1', aud: 'api', scope: 'openid', cnf: { jkt: 'x' } },
    ...{ iat: 900, exp: 9000, jti: 'other', feature_flags: ['z'], feature_flags_meta: true },
  }
  expect(mintedClaims(upstream, MINTING)).toEqual({
    iss: 'https://auth.test',
    sub: 'user_1',
    aud: 'api',
    scope: 'openid',
    cnf: { jkt: 'x' },
    iat: 1000,
    exp: 1300,
    jti: 'token_1',
    feature_flags: ['a', 'b'],
    feature_flags_meta: MINTING.meta,
  })
})

test.each([
  [undefined, undefined],
  [900, 900],
  [1000, 1000],
  [1003, 1000],
  ['soon', 1000],
])('nbf %j becomes %j', (nbf, expected) => {
  expect(mintedClaims({ nbf }, MINTING).nbf).toBe(expected)
})
