import { expect, test } from 'vitest'
import { type Current, decide } from '../../../src/gateway/verification/decide.ts'

const NOW = 1_800_000_000_000
const token = { flags: ['a', 'b'], iat: 1_799_999_900, exp: 1_800_000_200, bound: false }
const current: Current = { flags: ['a', 'b'], notBefore: 0, revoked: false }
const a = { all: ['a'], any: [] }
const c = { all: ['c'], any: [] }

test.each([
  ['a flag of the claim is enough for claim', token, undefined, a, 'allowed'],
  ['live wants the flag in both', token, current, a, 'allowed'],
  ['live refuses a flag that is off by now', token, { ...current, flags: ['b'] }, a, 'feature_missing'],
  [
    'live does not give what the token lacks',
    token,
    { ...current, flags: ['a', 'b', 'c'] },
    c,
    'feature_missing',
  ],
  [
    'a revoked session is refused whatever its flags',
    token,
    { ...current, revoked: true },
    a,
    'session_revoked',
  ],
  [
    'a token issued before the epoch is refused',
    token,
    { ...current, notBefore: token.iat + 1 },
    a,
    'token_superseded',
  ],
  ['a token issued at the epoch is good', token, { ...current, notBefore: token.iat }, a, 'allowed'],
  ['unknown flags are refused', token, { ...current, flags: undefined }, a, 'state_unknown'],
  [
    'unknown flags are refused, also without a requirement',
    token,
    { ...current, flags: undefined },
    { all: [], any: [] },
    'state_unknown',
  ],
  ['an unknown denylist is refused', token, { ...current, revoked: undefined }, a, 'state_unknown'],
  [
    'a revoked session is refused whatever is unknown',
    token,
    { ...current, flags: undefined, revoked: true },
    a,
    'session_revoked',
  ],
  [
    'a token issued before the epoch is refused whatever is unknown',
    token,
    { flags: undefined, notBefore: token.iat + 1, revoked: undefined },
    a,
    'token_superseded',
  ],
  ['a bound token proves nothing', { ...token, bound: true }, undefined, a, 'token_bound'],
  [
    'a token that expired while the documents were read is refused',
    { ...token, exp: 1_800_000_000 },
    current,
    a,
    'token_expired',
  ],
] as const)('%s', (_, presented, state, requirement, reason) => {
  const decision = decide(presented, state, requirement, NOW)
  expect(decision).toMatchObject({ reason, allowed: reason === 'allowed' })
  expect(decision.active).toBe(['allowed', 'feature_missing', 'state_unknown'].includes(reason))
})

test.each([
  [['a', 'b'], false, ['a', 'b']],
  [['a'], true, ['a']],
  [['a', 'b', 'c'], true, ['a', 'b']],
  [['c'], true, []],
])('with %j on now, stale is %s and the flags that count are %j', (flags, stale, counting) => {
  const decision = decide(token, { ...current, flags }, { all: [], any: [] }, NOW)
  expect(decision).toMatchObject({ allowed: true, stale, flags: counting })
})
