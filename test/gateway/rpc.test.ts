import { createExecutionContext } from 'cloudflare:test'
import { beforeEach, describe, expect, test } from 'vitest'
import { Verifier } from '../../src/gateway/worker.ts'
import type { Setup } from './support/gateway.ts'
import { captureLog } from './support/log.ts'
import { mintToken, setUpVerification } from './support/tokens.ts'

const log = captureLog()
let setup: Setup
let verifier: Verifier
let token: string
beforeEach(async () => {
  setup = await setUpVerification()
  verifier = new Verifier(createExecutionContext(), setup.bindings)
  token = await mintToken(setup)
})

describe('verify', () => {
  test('answers as POST /verify does', async () => {
    const response = await setup.request('/verify', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, features: { all: ['reports'] }, freshness: 'live' }),
    })
    expect(await verifier.verify(token, { all: ['reports'], freshness: 'live' })).toEqual(
      await response.json(),
    )
  })

  test.each([
    [{}, true, 'allowed'],
    [{ all: ['reports'], any: ['scim', 'sso'] }, true, 'allowed'],
    [{ all: ['scim'] }, false, 'feature_missing'],
    [{ freshness: 'live' as const }, true, 'allowed'],
  ])('%j: %s', async (requirement, allowed, reason) => {
    expect(await verifier.verify(token, requirement)).toMatchObject({ active: true, allowed, reason })
  })

  test('refuses a token that is none', async () => {
    expect(await verifier.verify('x')).toEqual({ active: false, allowed: false, reason: 'token_malformed' })
  })

  test.each([{ al: ['scim'] }, { any: [] }, { all: 'scim' }, { all: ['Scim'] }, { freshness: 'now' }])(
    'a requirement that is none is not taken for one: %j',
    async (requirement) => {
      await expect(verifier.verify(token, requirement as never)).rejects.toThrow(TypeError)
    },
  )
})

test('a call writes one line, without the token', async () => {
  await verifier.verify(token, { all: ['scim'] })
  expect(log.lines).toEqual([
    expect.objectContaining({ route: 'rpc', method: 'verify', reason: 'feature_missing' }),
  ])
  expect(log.text).not.toContain(token)
})

describe('evaluate', () => {
  test.each([
    [{ orgId: 'org_acme' }, ['everybody', 'reports', 'sso']],
    [{ orgId: 'org_acme', userId: 'user_1' }, ['everybody', 'reports', 'sso']],
    [{ userId: 'user_1' }, ['everybody']],
    [{ orgId: undefined, userId: 'user_1' }, ['everybody']],
  ])('%j has %j', async (subject, flags) => {
    const evaluation = await verifier.evaluate(subject)
    expect(evaluation.flags).toEqual(flags)
    expect(evaluation.decisions).toContainEqual({ flag: 'killed', on: false, reason: 'killed' })
  })

  test.each([
    [undefined],
    [{}],
    [{ orgId: undefined }],
    [{ orgId: '' }],
    [{ orgId: null }],
    [{ orgId: ['org_acme'] }],
    [{ orgId: 'o'.repeat(600) }],
    [{ orgId: 'org_acme', userId: '' }],
    [{ org_id: 'org_acme', userId: 'user_1' }],
  ])('%j is a mistake, and nothing is read', async (subject) => {
    await expect(verifier.evaluate(subject as never)).rejects.toThrow(TypeError)
    expect(setup.kv.reads).toEqual([])
  })

  test('says when the state is unknown', async () => {
    setup.kv.fault = () => Promise.reject(new Error('down'))
    await expect(verifier.evaluate({ orgId: 'org_acme' })).rejects.toThrow('state_unknown')
  })
})

test('a gateway that is not configured says so', async () => {
  const bindings = { ...setup.bindings, ISSUER: 'x' }
  await expect(new Verifier(createExecutionContext(), bindings).verify(token)).rejects.toThrow(
    'misconfigured',
  )
})
