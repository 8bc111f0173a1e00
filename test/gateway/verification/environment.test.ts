/**
 * A token of another environment, where keys, issuer and audience are shared: every dialect refuses it, by one check.
 */
import { createExecutionContext } from 'cloudflare:test'
import { beforeEach, describe, expect, test } from 'vitest'
import { Verifier } from '../../../src/gateway/worker.ts'
import { FORM, type Setup } from '../support/gateway.ts'
import { captureLog } from '../support/log.ts'
import { basic, bearer, mintToken, SERVICE, setUpVerification } from '../support/tokens.ts'
import { UPSTREAM } from '../support/upstream.ts'

captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
})

const meta = (env: unknown) => ({ feature_flags_meta: { env, ver: '87.12', as_of: 1, src: 'fresh' } })
const json = (body: object, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})
const use = {
  subject: { type: 'organization', id: 'org_acme' },
  action: { name: 'use' },
  resource: { type: 'feature', id: 'reports' },
}

/** Each asks for `reports` with a token and says whether it is allowed. */
const DIALECTS: [string, (token: string) => Promise<boolean>][] = [
  ...(['claim', 'live'] as const).flatMap((freshness): [string, (token: string) => Promise<boolean>][] => [
    [
      `POST /verify, ${freshness}`,
      async (token) => {
        const question = { token, features: { all: ['reports'] }, freshness }
        return ((await (await setup.request('/verify', json(question))).json()) as Decided).allowed
      },
    ],
    [
      `RPC, ${freshness}`,
      async (token) => {
        const verifier = new Verifier(createExecutionContext(), setup.bindings)
        return (await verifier.verify(token, { all: ['reports'], freshness })).allowed
      },
    ],
    [
      `forward-auth, ${freshness}`,
      async (token) =>
        (await setup.request(`/guard/reports?freshness=${freshness}`, bearer(token))).status === 200,
    ],
  ]),
  [
    'introspection',
    async (token) => {
      const headers = { ...FORM, authorization: basic(SERVICE.name, SERVICE.secret) }
      const body = new URLSearchParams({ token }).toString()
      const response = await setup.request('/introspect', { method: 'POST', headers, body })
      return ((await response.json()) as { active: boolean }).active
    },
  ],
  [
    'OFREP',
    async (token) => {
      const body = { context: { targetingKey: 'org_acme' } }
      const init = json(body, { authorization: `Bearer ${token}` })
      return (await setup.request('/ofrep/v1/evaluate/flags/reports', init)).status === 200
    },
  ],
  [
    'AuthZEN',
    async (token) =>
      (await setup.request('/access/v1/evaluation', json(use, { authorization: `Bearer ${token}` })))
        .status === 200,
  ],
]

interface Decided {
  allowed: boolean
}

describe.each(DIALECTS)('%s', (_, allows) => {
  test('allows a token of this environment', async () => {
    expect(await allows(await mintToken(setup))).toBe(true)
  })

  test.each(['staging', 'Production', 'production ', '', null, undefined, 7, ['production']])(
    'refuses one of %j',
    async (env) => {
      expect(await allows(await mintToken(setup, meta(env)))).toBe(false)
    },
  )

  test('refuses one whose meta is no object', async () => {
    expect(await allows(await mintToken(setup, { feature_flags_meta: true }))).toBe(false)
  })
})

test('the reason says so', async () => {
  const response = await setup.request('/verify', json({ token: await mintToken(setup, meta('staging')) }))
  expect(await response.json()).toEqual({ active: false, allowed: false, reason: 'environment_mismatch' })
})

test('revoking a token of another environment writes nothing here', async () => {
  const metadata = setup.upstream.metadata({ revocation_endpoint: `${UPSTREAM}/revoke` })
  setup.upstream.onMetadata = () => Response.json(metadata)
  const revoke = async (token: string) =>
    setup.request('/revoke', {
      method: 'POST',
      headers: FORM,
      body: new URLSearchParams({ token }).toString(),
    })
  const before = setup.kv.values.size
  await revoke(await mintToken(setup, meta('staging')))
  expect(setup.kv.values.size).toBe(before)
  await revoke(await mintToken(setup))
  expect(setup.kv.values.size).toBeGreaterThan(before)
})
