/**
 * Where a token is from: only the gateway's own keys count, and only tokens of the guard's environment. With `preserve`
 * upstream's keys stand in the same set, and upstream can put any claim into its tokens.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { makeSigningKey, type Setup } from '../gateway/support/gateway.ts'
import { captureLog } from '../gateway/support/log.ts'
import { mintToken, setUpVerification } from '../gateway/support/tokens.ts'
import { UPSTREAM } from '../gateway/support/upstream.ts'
import { guardOf, JWKS, requestWith } from './support/guard.ts'

captureLog()

const reasonOf = async (checking: ReturnType<ReturnType<typeof guardOf>['check']>) => {
  const checked = await checking
  return checked.ok ? 'passes' : checked.reason
}

describe('with upstream’s issuer', () => {
  let setup: Setup
  const meta = { env: 'production', ver: '1.1', as_of: 1, src: 'fresh' }
  beforeEach(async () => {
    setup = await setUpVerification({ TOKEN_ISSUER: 'preserve' })
  })
  const options = { issuer: UPSTREAM, gateway: 'https://auth.test' }

  test('a minted token passes', async () => {
    const token = await mintToken(setup, { iss: UPSTREAM })
    expect(await reasonOf(guardOf(setup, options).check(requestWith(token), 'reports'))).toBe('passes')
  })

  test.each([
    ['as they are', {}],
    ['with flags of its own', { feature_flags: ['reports'] }],
    ['with flags and a meta of its own', { feature_flags: ['reports'], feature_flags_meta: meta }],
    ['with a meta that is true', { feature_flags: ['reports'], feature_flags_meta: true }],
  ])('upstream’s tokens %s never pass', async (_, claims) => {
    const token = await setup.upstream.sign({ ...setup.upstream.claims(), ...claims }, { typ: 'at+jwt' })
    for (const freshness of ['claim', 'live'] as const) {
      const guard = guardOf(setup, { ...options, freshness })
      expect(await reasonOf(guard.check(requestWith(token), 'reports'))).toBe('key_unknown')
    }
  })

  test('also where upstream marks its keys, or uses a kid of the gateway’s', async () => {
    const { jwk } = setup.upstream.signer
    const marked = [
      { ...jwk, remint: 'production' },
      { ...jwk, kid: setup.signingKey.kid, remint: 'production' },
    ]
    setup.upstream.onJwks = () => Response.json({ keys: marked })
    const claims = { ...setup.upstream.claims(), feature_flags: ['reports'], feature_flags_meta: meta }
    for (const kid of [jwk.kid, setup.signingKey.kid]) {
      const token = await setup.upstream.sign(claims, { typ: 'at+jwt', kid })
      const reason = await reasonOf(guardOf(setup, options).check(requestWith(token), 'reports'))
      expect(['key_unknown', 'signature_invalid']).toContain(reason)
    }
  })
})

describe('with a gateway from before the mark', () => {
  let setup: Setup
  let strips: boolean
  beforeEach(async () => {
    setup = await setUpVerification()
    strips = true
  })
  /** The key set as an older gateway, a cache of it or a proxy that drops unknown members gives it. */
  const answers = {
    [JWKS]: async () => {
      const response = await setup.request(JWKS)
      const { keys } = (await response.json()) as { keys: object[] }
      return Response.json({ keys: strips ? keys.map((key) => ({ ...key, remint: undefined })) : keys })
    },
  }

  test('it is 503 keys_unmarked, and no verdict on the token', async () => {
    const checked = await guardOf(setup, {}, answers).check(requestWith(await mintToken(setup)), 'reports')
    if (checked.ok) throw new Error('it passed')
    expect([checked.reason, checked.response.status]).toEqual(['keys_unmarked', 503])
    expect(checked.response.headers.get('retry-after')).toBe('2')
  })

  test('it ends as soon as the gateway is upgraded', async () => {
    const guard = guardOf(setup, {}, answers)
    const check = async () => reasonOf(guard.check(requestWith(await mintToken(setup)), 'reports'))
    expect(await check()).toBe('keys_unmarked')
    strips = false
    setup.now += 1_000
    expect(await check()).toBe('passes')
  })

  test('an unmarked set, as from a cache, never replaces the keys there are', async () => {
    const guard = guardOf(setup, {}, answers)
    const check = async () => reasonOf(guard.check(requestWith(await mintToken(setup)), 'reports'))
    strips = false
    expect(await check()).toBe('passes')
    strips = true
    setup.now += 300_000
    expect(await check()).toBe('passes')
    const unknown = requestWith(await mintToken(setup, {}, { kid: 'x' }))
    expect(await reasonOf(guard.check(unknown))).toBe('keys_unmarked')
  })
})

describe('environments', () => {
  let setup: Setup
  beforeEach(async () => {
    setup = await setUpVerification()
  })
  const meta = (env: unknown) => ({ feature_flags_meta: { env, ver: '1.1', as_of: 1, src: 'fresh' } })
  const serving =
    (...marks: unknown[]) =>
    async () => {
      const { d: _, ...jwk } = setup.signingKey
      return Response.json({ keys: marks.map((remint) => ({ ...jwk, remint })) })
    }

  test.each<[string, unknown[], string | undefined, unknown, string]>([
    ['its one environment', ['production'], undefined, 'production', 'passes'],
    ['another', ['production'], undefined, 'staging', 'claim_refused'],
    ['one in other letters', ['production'], undefined, 'Production', 'claim_refused'],
    ['none', ['production'], undefined, undefined, 'claim_refused'],
    ['no string', ['production'], undefined, ['production'], 'claim_refused'],
    ['what the guard says', ['production'], 'production', 'production', 'passes'],
    ['another than the guard says', ['production'], 'staging', 'production', 'claim_refused'],
    ['what the guard says and the key does not', ['production'], 'staging', 'staging', 'claim_refused'],
    ['one of several', [['staging', 'production']], undefined, 'production', 'environment_required'],
    ['the right one of several', [['staging', 'production']], 'production', 'production', 'passes'],
    ['the wrong one of several', [['staging', 'production']], 'production', 'staging', 'claim_refused'],
  ])('a key set and a token of %s', async (_, marks, environment, env, outcome) => {
    const guard = guardOf(setup, environment === undefined ? {} : { environment }, {
      [JWKS]: serving(...marks),
    })
    const token = await mintToken(setup, meta(env))
    expect(await reasonOf(guard.check(requestWith(token), 'reports'))).toBe(outcome)
    expect(guard.decisions.at(-1)?.claim).toBe(
      outcome === 'claim_refused' ? 'feature_flags_meta.env' : undefined,
    )
  })

  test('in a set of both, staging’s key signs nothing for production', async () => {
    const staging = await makeSigningKey()
    const { d: _, ...jwk } = staging
    const { d: __, ...own } = setup.signingKey
    const keys = [
      { ...own, remint: 'production' },
      { ...jwk, remint: 'staging' },
    ]
    const guard = guardOf(setup, { environment: 'production' }, { [JWKS]: () => Response.json({ keys }) })
    const forged = await mintToken({ ...setup, signingKey: staging })
    expect(await reasonOf(guard.check(requestWith(forged), 'reports'))).toBe('claim_refused')
    expect(await reasonOf(guard.check(requestWith(await mintToken(setup)), 'reports'))).toBe('passes')
  })

  test('a set of several without the option is a 503 that says what to set', async () => {
    const guard = guardOf(setup, {}, { [JWKS]: serving(['staging', 'production']) })
    const checked = await guard.check(requestWith(await mintToken(setup)))
    if (checked.ok) throw new Error('it passed')
    expect(checked.response.status).toBe(503)
    expect(await checked.response.json()).toMatchObject({ code: 'environment_required' })
  })
})

test('a marked key that this runtime cannot use is no verdict on its tokens', async () => {
  const setup = await setUpVerification()
  const { d: _, ...jwk } = setup.signingKey
  const keys = [
    { ...jwk, remint: 'production' },
    { kty: 'OKP', crv: 'Ed448', x: 'AAAA', alg: 'EdDSA', kid: 'next', remint: 'production' },
  ]
  const guard = guardOf(setup, {}, { [JWKS]: () => Response.json({ keys }) })
  const token = await mintToken(setup, {}, { kid: 'next' })
  for (let i = 0; i < 3; i++) expect(await reasonOf(guard.check(requestWith(token)))).toBe('keys_unusable')
  expect(guard.asked).toEqual([JWKS])
  expect(await reasonOf(guard.check(requestWith(await mintToken(setup))))).toBe('passes')
})
