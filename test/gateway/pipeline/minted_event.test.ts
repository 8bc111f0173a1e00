import { describe, expect, test } from 'vitest'
import { mintEventSchema } from '../../../src/core/mint_event.ts'
import { subjectOf } from '../../../src/core/organization.ts'
import { mintedEvent } from '../../../src/gateway/pipeline/minted_event.ts'

const NOW = 1_780_000_000_000
const META = { env: 'production', ver: '87.12', as_of: NOW / 1000, src: 'fresh' } as const
const CLAIMS = { jti: 'u1', org_id: 'org_acme', sub: 'user_1', sid: 'session_1', client_id: 'app' }
const told = (claims: Record<string, unknown>) =>
  mintedEvent(
    claims,
    subjectOf(claims, 'org_id'),
    { flags: ['reports', 'sso'], meta: META },
    { jti: 'j1', exp: NOW / 1000 + 300 },
    'r1',
    NOW,
  )

test('an event says who got what, from which documents, and when', () => {
  expect(told(CLAIMS)).toEqual({
    type: 'token.minted',
    format: 1,
    env: 'production',
    jti: 'j1',
    upstream_jti: 'u1',
    org: 'org_acme',
    sub: 'user_1',
    sid: 'session_1',
    client: 'app',
    flags: ['reports', 'sso'],
    ver: '87.12',
    src: 'fresh',
    at: NOW,
    exp: NOW / 1000 + 300,
    request_id: 'r1',
  })
})

test('nothing else of the claims is in it', () => {
  const text = JSON.stringify(told({ ...CLAIMS, email: 'CANARY', act: { sub: 'CANARY' }, roles: ['CANARY'] }))
  expect(text).not.toContain('CANARY')
})

describe('the client is', () => {
  test.each([
    [{ client_id: 'a', azp: 'b' }, 'a'],
    [{ azp: 'b' }, 'b'],
    [{ client_id: { odd: true }, azp: 'b' }, 'b'],
    [{}, null],
  ])('of %j: %j', (claims, client) => {
    expect(told(claims).client).toBe(client)
  })
})

describe('a claim that is no id of a bounded length is null', () => {
  test.each<[string, unknown]>([
    ['absent', undefined],
    ['null', null],
    ['empty', ''],
    ['an object', { a: 1 }],
    ['a list', ['a', 'b']],
    ['true', true],
    ['a fraction', 1.5],
    ['longer than a key', 'x'.repeat(441)],
    ['longer than a key in bytes', 'ü'.repeat(300)],
  ])('%s', (_, value) => {
    const event = told({ jti: value, org_id: value, sub: value, sid: value, client_id: value, azp: value })
    expect(event).toMatchObject({ upstream_jti: null, org: null, sub: null, sid: null, client: null })
    expect(mintEventSchema.safeParse(JSON.parse(JSON.stringify(event))).success).toBe(true)
  })

  test('and a whole number is its digits, as in the documents', () => {
    const event = told({ jti: 7, org_id: 7, sub: 7, sid: 7, client_id: 7 })
    expect(event).toMatchObject({ upstream_jti: null, org: '7', sub: '7', sid: '7', client: '7' })
  })

  test('text that is hard to write stays a message that fits', () => {
    const odd = '\u0000\ud800'.repeat(73)
    const event = told({ jti: odd, org_id: odd, sub: odd, sid: odd, client_id: odd })
    expect(JSON.stringify(event).length).toBeLessThan(20_000)
    expect(event.org).toBe(odd)
  })
})
