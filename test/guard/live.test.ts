/**
 * What `live` does without an answer happens only when there was none: a failed connection, a time-out, 429 or 5xx. A
 * bug, or an answer that is none of the gateway's, is a refusal, however young the token.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import type { GuardOptions } from '../../src/guard/index.ts'
import type { Setup } from '../gateway/support/gateway.ts'
import { captureLog } from '../gateway/support/log.ts'
import { mintToken, setUpVerification } from '../gateway/support/tokens.ts'
import { guardOf, JWKS, requestWith } from './support/guard.ts'

captureLog()
let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
})

async function outcome(
  options: Partial<GuardOptions>,
  answers: Parameters<typeof guardOf>[2] = {},
  claims: Record<string, unknown> = {},
) {
  const guard = guardOf(setup, { freshness: 'live', ...options }, answers)
  const checked = await guard.check(requestWith(await mintToken(setup, claims)), 'reports')
  return [checked.ok ? checked.identity.freshness : checked.reason, guard.decisions.at(-1)?.live]
}

const named = (name: string, message = '') => Object.assign(new Error(message), { name })

const THROWN: [string, unknown, string, string][] = [
  ['Node: no connection', new TypeError('fetch failed', { cause: new Error('x') }), 'grace', 'network'],
  ['Node: broke off', new TypeError('terminated'), 'grace', 'network'],
  ['Chromium', new TypeError('Failed to fetch'), 'grace', 'network'],
  ['Firefox', new TypeError('NetworkError when attempting to fetch resource.'), 'grace', 'network'],
  ['Safari', new TypeError('Load failed'), 'grace', 'network'],
  ['workerd', new Error('Network connection lost.'), 'grace', 'network'],
  ['Deno', new TypeError('error sending request for url (https://auth.test/verify)'), 'grace', 'network'],
  ['node-fetch', named('FetchError', 'connect ECONNREFUSED'), 'grace', 'network'],
  ['a time-out', new DOMException('The operation timed out.', 'TimeoutError'), 'grace', 'timeout'],
  ['an abort', new DOMException('This operation was aborted', 'AbortError'), 'grace', 'network'],
  ['the network', new DOMException('A network error occurred.', 'NetworkError'), 'grace', 'network'],

  ['a call of undefined', new TypeError('x is not a function'), 'live_unavailable', 'threw_TypeError'],
  [
    'a member of undefined',
    new TypeError('Cannot read properties of undefined'),
    'live_unavailable',
    'threw_TypeError',
  ],
  ['fetch without this', new TypeError('Illegal invocation'), 'live_unavailable', 'threw_TypeError'],
  ['a bad URL', new TypeError('Failed to parse URL from x'), 'live_unavailable', 'threw_TypeError'],
  ['a name that is none', new ReferenceError('x is not defined'), 'live_unavailable', 'threw_ReferenceError'],
  [
    'a number out of range',
    new RangeError('The value of "delay" is out of range'),
    'live_unavailable',
    'threw_RangeError',
  ],
  ['bad JSON', new SyntaxError('Unexpected token'), 'live_unavailable', 'threw_SyntaxError'],
  ['a bad URI', new URIError('URI malformed'), 'live_unavailable', 'threw_URIError'],
  ['an assertion', named('AssertionError'), 'live_unavailable', 'threw_AssertionError'],
  [
    'what cannot be cloned',
    new DOMException('x', 'DataCloneError'),
    'live_unavailable',
    'threw_DataCloneError',
  ],
  ['a string', 'down', 'live_unavailable', 'threw_something'],
  ['nothing', undefined, 'live_unavailable', 'threw_something'],
  ['a name full of text', named('x y z CANARY'), 'grace', 'network'],
]

describe.each(['rejects', 'throws'])('over HTTP, fetch %s', (way) => {
  test.each(THROWN)('%s', async (_, thrown, expected, live) => {
    const fail = () => {
      throw thrown
    }
    const answers = { '/verify': way === 'throws' ? fail : async () => fail() }
    expect(await outcome({}, answers)).toEqual([expected, live])
  })
})

describe('over HTTP', () => {
  test.each(THROWN)('the body ends with: %s', async (_, thrown, expected, live) => {
    const text = () => Promise.reject(thrown)
    const answers = { '/verify': () => ({ status: 200, text }) as unknown as Response }
    expect(await outcome({}, answers)).toEqual([expected, live])
  })

  test.each<[string, () => Response | Promise<Response>]>([
    ['answers', () => new Promise(() => {})],
    ['ends its body', () => ({ status: 200, text: () => new Promise(() => {}) }) as unknown as Response],
  ])('a fetch that ignores the signal and never %s', async (_, answer) => {
    expect(await outcome({ timeoutMs: 20 }, { '/verify': answer })).toEqual(['grace', 'timeout'])
  })

  test('a fetch that answers nothing is a bug', async () => {
    const answers = { '/verify': () => ({}) as Response }
    expect(await outcome({}, answers)).toEqual(['live_unavailable', 'threw_TypeError'])
  })

  test.each([
    [429, 'grace'],
    [500, 'grace'],
    [502, 'grace'],
    [503, 'grace'],
    [504, 'grace'],
    [530, 'grace'],
    [201, 'live_unavailable'],
    [204, 'live_unavailable'],
    [301, 'live_unavailable'],
    [302, 'live_unavailable'],
    [400, 'live_unavailable'],
    [401, 'live_unavailable'],
    [403, 'live_unavailable'],
    [404, 'live_unavailable'],
    [405, 'live_unavailable'],
    [408, 'live_unavailable'],
    [413, 'live_unavailable'],
  ])('status %i: %s', async (status, expected) => {
    const answers = { '/verify': () => new Response(null, { status }) }
    expect(await outcome({}, answers)).toEqual([expected, `status_${status}`])
  })
})

describe('over a service binding', () => {
  const through = (verify: () => Promise<unknown>) =>
    outcome({ gateway: { verify }, jwksUri: `https://auth.test${JWKS}` })

  // An RPC that fails for the network's sake is no TypeError; one of the method or its arguments is.
  test.each(THROWN.filter(([, thrown]) => !(thrown instanceof TypeError)))(
    '%s',
    async (_, thrown, expected, live) => {
      expect(await through(() => Promise.reject(thrown))).toEqual([expected, live])
      expect(
        await through(() => {
          throw thrown
        }),
      ).toEqual([expected, live])
    },
  )

  test('a TypeError never earns grace', async () => {
    for (const message of ['fetch failed', 'The RPC receiver does not implement the method "verify".'])
      expect(await through(() => Promise.reject(new TypeError(message)))).toEqual([
        'live_unavailable',
        'threw_TypeError',
      ])
  })

  test('a binding without the method is a bug', async () => {
    const gateway = {} as never
    expect(await outcome({ gateway, jwksUri: `https://auth.test${JWKS}` })).toEqual([
      'live_unavailable',
      'threw_TypeError',
    ])
  })

  test('no answer in time', async () => {
    const never = () => new Promise(() => {})
    const options = { gateway: { verify: never }, jwksUri: `https://auth.test${JWKS}`, timeoutMs: 20 }
    expect(await outcome(options)).toEqual(['grace', 'timeout'])
  })
})

const YES = { active: true, allowed: true, reason: 'allowed' }

test.each<[unknown, string, string]>([
  [YES, 'live', 'allowed'],
  [{ ...YES, current_feature_flags: ['reports'] }, 'live', 'allowed'],
  [{ ...YES, reason: 'CANARY is not a reason' }, 'live', 'another_reason'],
  [{ ...YES, current_feature_flags: [] }, 'feature_missing', 'allowed'],
  [{ ...YES, current_feature_flags: ['sso'] }, 'feature_missing', 'allowed'],
  [{ ...YES, allowed: false, reason: 'feature_missing' }, 'feature_missing', 'feature_missing'],
  [{ ...YES, active: false, reason: 'session_revoked' }, 'token_inactive', 'session_revoked'],
  [{ ...YES, reason: 'state_unknown' }, 'grace', 'state_unknown'],
  [{ ...YES, current_feature_flags: 'reports' }, 'live_unavailable', 'not_an_answer'],
  [{ ...YES, current_feature_flags: null }, 'live_unavailable', 'not_an_answer'],
  [{ ...YES, current_feature_flags: { reports: true } }, 'live_unavailable', 'not_an_answer'],
  [{ ...YES, current_feature_flags: ['reports', 7] }, 'live_unavailable', 'not_an_answer'],
  [{ ...YES, active: 'true' }, 'live_unavailable', 'not_an_answer'],
  [{ ...YES, allowed: 1 }, 'live_unavailable', 'not_an_answer'],
  [{ ...YES, reason: undefined }, 'live_unavailable', 'not_an_answer'],
  [[], 'live_unavailable', 'not_an_answer'],
  [null, 'live_unavailable', 'not_an_answer'],
  ['allowed', 'live_unavailable', 'not_an_answer'],
])('the answer %j: %s', async (answer, expected, live) => {
  const answers = { '/verify': () => Response.json(answer) }
  expect(await outcome({}, answers)).toEqual([expected, live])
  const gateway = { verify: async () => answer }
  expect(await outcome({ gateway, jwksUri: `https://auth.test${JWKS}` })).toEqual([expected, live])
})

test.each<[string, Record<string, unknown>]>([
  ['whose organization cannot be read', { org_id: ['org_acme'] }],
  ['whose organization is too long for a key', { org_id: 'x'.repeat(441) }],
])('a revoked session %s is refused', async (_, claims) => {
  setup.kv.put('revoked:production:sid:session_1', { until: setup.now / 1000 + 300 })
  expect(await outcome({}, {}, claims)).toEqual(['token_inactive', 'session_revoked'])
})

describe('grace holds its limit', () => {
  const down = { '/verify': () => new Response(null, { status: 503 }) }

  test.each([
    [0, 'live_unavailable'],
    [-1, 'live_unavailable'],
    [-300, 'live_unavailable'],
    [5, 'live_unavailable'],
  ])('graceSeconds 0 lets no token pass, also not one of %i s', async (age, expected) => {
    const iat = setup.now / 1000 - age
    const [reason] = await outcome({ graceSeconds: 0 }, down, { iat, exp: iat + 600 })
    expect(reason).toBe(expected)
  })

  /** The service's clock is behind by an hour, the gateway's is right. Keys may come without a `Date`. */
  describe.each([true, false])('with a clock that is an hour slow; the gateway says its time: %s', (says) => {
    const SLOW_MS = 3_600_000
    const slow = () => {
      let isDown = false
      const answers = {
        [JWKS]: async () => {
          const response = await setup.request(JWKS)
          const headers: Record<string, string> = says ? { date: new Date(setup.now).toUTCString() } : {}
          return new Response(await response.text(), { headers })
        },
        '/verify': (init: RequestInit) =>
          isDown ? new Response(null, { status: 503 }) : setup.request('/verify', init),
      }
      const guard = guardOf(setup, { freshness: 'live', now: () => setup.now - SLOW_MS }, answers)
      const check = async (token: string) => {
        const checked = await guard.check(requestWith(token), 'reports')
        return checked.ok ? checked.identity.freshness : checked.reason
      }
      return {
        check,
        goDown: () => {
          isDown = true
        },
      }
    }

    test('a token passes until it is 60 s old, and no longer', async () => {
      const { check, goDown } = slow()
      const token = await mintToken(setup, { exp: setup.now / 1000 + 7200 })
      expect(await check(token)).toBe('live')
      goDown()
      setup.now += 59_000
      expect(await check(token)).toBe('grace')
      setup.now += 1_000
      expect(await check(token)).toBe('live_unavailable')
    })

    test('an old token does not pass because a newer one is known', async () => {
      const { check, goDown } = slow()
      const iat = setup.now / 1000
      const [old, fresh] = await Promise.all([
        mintToken(setup, { iat: iat - 120, exp: iat + 7200 }),
        mintToken(setup, { iat, exp: iat + 7200 }),
      ])
      expect(await check(fresh)).toBe('live')
      goDown()
      expect(await check(old)).toBe('live_unavailable')
      expect(await check(fresh)).toBe('grace')
    })
  })

  test('a clock that was set right is believed again with the next key set', async () => {
    let behindMs = 3_600_000
    let isDown = false
    const options = { freshness: 'live', now: () => setup.now - behindMs } as const
    const answers = {
      '/verify': (init: RequestInit) =>
        isDown ? new Response(null, { status: 503 }) : setup.request('/verify', init),
    }
    const guard = guardOf(setup, options, answers)
    const check = async () => {
      const checked = await guard.check(requestWith(await mintToken(setup)), 'reports')
      return checked.ok ? checked.identity.freshness : checked.reason
    }
    expect(await check()).toBe('live')
    behindMs = 0
    expect(await check()).toBe('live')
    isDown = true
    expect(await check()).toBe('grace')
  })
})
