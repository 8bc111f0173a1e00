/** A guard that is wrong lets everybody in or nobody: a mistake throws where it is made, and names the option. */
import { expect, test } from 'vitest'
import { createGuard, type GuardOptions } from '../../src/guard/index.ts'

const GOOD = { issuer: 'https://auth.test', audience: 'https://api.test' }
const make = (options: Record<string, unknown>) => createGuard({ ...GOOD, ...options } as GuardOptions)

test.each<[string, unknown]>([
  ['issuer', undefined],
  ['issuer', ''],
  ['issuer', 7],
  ['issuer', 'localhost:8787'],
  ['issuer', 'auth.example.com'],
  ['issuer', 'http://auth.example.com'],
  ['issuer', 'ftp://auth.example.com'],
  ['audience', undefined],
  ['audience', ''],
  ['audience', []],
  ['audience', ['']],
  ['audience', ['https://api.test', undefined]],
  ['audience', { aud: 'x' }],
  ['environment', ''],
  ['environment', null],
  ['environment', ['production']],
  ['freshness', 'fresh'],
  ['freshness', null],
  ['freshness', true],
  ['gateway', ''],
  ['gateway', null],
  ['gateway', 7],
  ['gateway', 'auth.example.com'],
  ['gateway', 'http://gateway.internal'],
  ['jwksUri', ''],
  ['jwksUri', '/jwks.json'],
  ['jwksUri', 'http://auth.example.com/jwks.json'],
  ['timeoutMs', 0],
  ['timeoutMs', -1],
  ['timeoutMs', 333.3],
  ['timeoutMs', '1000'],
  ['timeoutMs', Number.NaN],
  ['timeoutMs', Number.POSITIVE_INFINITY],
  ['timeoutMs', 2 ** 31],
  ['timeoutMs', 5e9],
  ['timeoutMs', null],
  ['graceSeconds', -1],
  ['graceSeconds', '60'],
  ['graceSeconds', Number.NaN],
  ['graceSeconds', Number.POSITIVE_INFINITY],
  ['graceSeconds', null],
  ['orgClaim', ''],
  ['orgClaim', 7],
  ['onDecision', 'log'],
  ['onDecision', null],
  ['fetch', 'fetch'],
  ['fetch', null],
  ['now', 1_800_000_000_000],
])('%s: %j is refused by name', (option, value) => {
  expect(() => make({ [option]: value })).toThrow(new RegExp(`\\b${option}\\b`))
  expect(() => make({ [option]: value })).toThrow(TypeError)
})

test.each(['fresh', 'Freshness', 'leeway', 'jwksURI', 'aud', 'env', 'grace', 'onRefused', '__proto__x'])(
  'an option "%s" is refused, and the message lists those there are',
  (name) => {
    expect(() => make({ [name]: 'live' })).toThrow(
      `the options of createGuard: there is no "${name}". There are: issuer, audience, environment, freshness,`,
    )
  },
)

test.each([[undefined], [null], ['https://auth.test'], [[]]])(
  'options that are %j are refused',
  (options) => {
    expect(() => createGuard(options as never)).toThrow('the options of createGuard must be an object')
  },
)

test.each<[Record<string, unknown>]>([
  [{}],
  [{ audience: ['a', 'b'] }],
  [{ issuer: 'http://localhost:8787' }],
  [{ issuer: 'http://[::1]:8787' }],
  [{ issuer: 'accounts.google.com', gateway: 'https://auth.test' }],
  [{ gateway: { verify: async () => undefined } }],
  [{ timeoutMs: 1, graceSeconds: 0 }],
  [{ timeoutMs: 2 ** 31 - 1, graceSeconds: 0.5 }],
  [{ environment: 'production', orgClaim: 'tenant', onDecision: () => {} }],
  [{ freshness: undefined, gateway: undefined, timeoutMs: undefined, environment: undefined }],
])('%j is fine', (options) => {
  expect(() => make(options)).not.toThrow()
})

test.each<[unknown]>([[{ fresh: 'live' }], [{ freshness: 'now' }], [{ graceSeconds: 0 }], ['live'], [null]])(
  'the options %j of a check are refused, not taken for the default',
  async (options) => {
    const guard = make({})
    const request = new Request('https://api.test')
    await expect(guard.check(request, 'sso', options as never)).rejects.toThrow(TypeError)
    expect(() => guard.requireFeature('sso', options as never)).toThrow(TypeError)
  },
)
