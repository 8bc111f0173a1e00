import fc from 'fast-check'
import { base64url, CompactSign, generateSecret } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { looksLikeJws, MAX_JWT_BYTES, readJwsHeader } from '../../src/core/jws.ts'

const encode = (header: unknown) =>
  base64url.encode(typeof header === 'string' ? header : JSON.stringify(header))
const jws = (header: unknown, payload = 'e30', signature = 'AAAA') =>
  `${encode(header)}.${payload}.${signature}`
const MALFORMED = { ok: false, reason: 'token_malformed' }

test('the header of a well-formed JWS is read', () => {
  expect(readJwsHeader(jws({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' }))).toEqual({
    ok: true,
    value: { alg: 'ES256', kid: 'k1', typ: 'at+jwt' },
  })
})

test.each([
  ['at+jwt', 'at+jwt'],
  ['AT+JWT', 'at+jwt'],
  ['application/at+jwt', 'at+jwt'],
  ['Application/At+Jwt', 'at+jwt'],
  ['JWT', 'jwt'],
  [undefined, undefined],
])('the type %s is read as %s', (typ, read) => {
  expect(readJwsHeader(jws({ alg: 'ES256', typ }))).toMatchObject({ ok: true, value: { typ: read } })
})

describe('what is not a well-formed JWS is refused', () => {
  test.each([
    ['nothing', ''],
    ['two segments', `${encode({ alg: 'ES256' })}.e30`],
    ['four segments', `${jws({ alg: 'ES256' })}.AAAA`],
    ['five segments, an encrypted token', `${jws({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.AAAA.AAAA`],
    ['an empty signature', `${encode({ alg: 'none' })}.e30.`],
    ['an empty payload', `${encode({ alg: 'ES256' })}..AAAA`],
    ['a space at the end', `${jws({ alg: 'ES256' })} `],
    ['a newline at the end', `${jws({ alg: 'ES256' })}\n`],
    ['a newline inside', jws({ alg: 'ES256' }, 'e3\n0')],
    ['padding', jws({ alg: 'ES256' }, 'e30=')],
    ['the other base64 alphabet', jws({ alg: 'ES256' }, 'e30', '+/AA')],
    ['a segment that no bytes encode to', jws({ alg: 'ES256' }, 'e30', 'AAAAA')],
    ['a header that is not JSON', jws('alg')],
    ['a header that is a list', jws([{ alg: 'ES256' }])],
    ['a header that is null', jws(null)],
    ['a header without alg', jws({ kid: 'k1' })],
    ['an alg that is a number', jws({ alg: 256 })],
    ['a kid that is a number', jws({ alg: 'ES256', kid: 1 })],
    ['a typ that is a list', jws({ alg: 'ES256', typ: ['at+jwt'] })],
  ])('%s', (_, token) => {
    expect(readJwsHeader(token)).toEqual(MALFORMED)
  })

  test.each(['jku', 'x5u', 'jwk', 'x5c', 'crit'])('%s in the header, whatever its value', (name) => {
    for (const value of ['https://evil.test/jwks', {}, [], null]) {
      expect(readJwsHeader(jws({ alg: 'ES256', [name]: value }))).toEqual({
        ok: false,
        reason: 'token_header_refused',
      })
    }
  })

  test('one byte above 16 KiB', () => {
    const filler = (length: number) => jws({ alg: 'ES256' }, 'A'.repeat(length))
    const fits = Math.floor((MAX_JWT_BYTES - jws({ alg: 'ES256' }, '').length) / 4) * 4
    expect(readJwsHeader(filler(fits)).ok).toBe(true)
    expect(readJwsHeader(filler(fits + 4))).toEqual({ ok: false, reason: 'token_too_large' })
  })
})

describe('a token has one spelling', () => {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  let token: string
  beforeAll(async () => {
    const secret = await generateSecret('HS256')
    // 27 + 2, 17 + 2 and 32 bytes: every segment ends with spare bits.
    token = await new CompactSign(new TextEncoder().encode('{"sub":"user_12"}'))
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
      .sign(secret)
  })

  /** The bytes that a lenient decoder takes out of each segment. */
  const bytesOf = (compact: string) =>
    compact.split('.').map((segment) => base64url.decode(segment).toString())

  test('another string for the same bytes is refused, whichever single character differs', () => {
    const others = fc.constantFrom(...ALPHABET)
    fc.assert(
      fc.property(fc.nat(token.length - 1), others, (at, character) => {
        const mutated = token.slice(0, at) + character + token.slice(at + 1)
        fc.pre(mutated !== token && mutated.split('.').length === 3)
        const same = JSON.stringify(bytesOf(mutated)) === JSON.stringify(bytesOf(token))
        if (same) expect(readJwsHeader(mutated)).toEqual(MALFORMED)
      }),
      { numRuns: 2000 },
    )
  })

  test('every last character of a segment but the one is refused where it changes no byte', () => {
    let refused = 0
    for (const index of [0, 1, 2]) {
      for (const character of ALPHABET) {
        const segments = token.split('.')
        segments[index] = (segments[index] as string).slice(0, -1) + character
        const mutated = segments.join('.')
        if (mutated === token || bytesOf(mutated).join() !== bytesOf(token).join()) continue
        expect(readJwsHeader(mutated)).toEqual(MALFORMED)
        refused++
      }
    }
    expect(refused, 'the test has something to refuse').toBeGreaterThan(3)
  })

  test('a character put in, anywhere, that decoders skip is refused', () => {
    fc.assert(
      fc.property(
        fc.nat(token.length),
        fc.constantFrom('=', ' ', '\n', '\t', '\r', '+', '/', '%'),
        (at, character) => {
          expect(readJwsHeader(token.slice(0, at) + character + token.slice(at))).toEqual(MALFORMED)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('what base64url writes is accepted, whatever the bytes', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(bytes, bytes, (payload, signature) => {
        const canonical = jws({ alg: 'ES256' }, base64url.encode(payload), base64url.encode(signature))
        expect(readJwsHeader(canonical).ok).toBe(true)
      }),
    )
  })
})

describe('what some verifier might decode as a JWS is taken for one', () => {
  test.each([
    ['a JWS', jws({ alg: 'ES256' }), true],
    ['an unsigned one', `${encode({ alg: 'none' })}.e30.`, true],
    ['one with a space before it', ` ${jws({ alg: 'ES256' })}`, true],
    ['one with padding', `${encode({ alg: 'ES256' })}==.e30.AAAA`, true],
    ['one whose header starts with a newline', `${encode('\n{"alg":"none"}')}.e30.AAAA`, true],
    ['one whose header breaks off', `${encode({ alg: 'ES256' }).slice(0, 5)}.e30.AAAA`, true],
    ['one in the other alphabet', `${btoa('{"alg":"ES256","x":"??>>"}')}.e30.AAAA`, true],
    ['an encrypted token', `${encode({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.AAAA.AAAA.AAAA.AAAA`, false],
    ['an opaque token', 'opaque-8f14e45f', false],
    ['an opaque token with dots', 'v1.local.token', false],
    ['nothing', '', false],
  ])('%s', (_, token, taken) => {
    expect(looksLikeJws(token)).toBe(taken)
  })
})
