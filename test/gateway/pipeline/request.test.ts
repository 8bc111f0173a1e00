import { describe, expect, test } from 'vitest'
import { MAX_BODY_BYTES } from '../../../src/gateway/http/body.ts'
import { parseTokenRequest } from '../../../src/gateway/pipeline/request.ts'

const FORM = 'application/x-www-form-urlencoded'
const URL = 'https://auth.test/token'

const parse = (body: BodyInit | null, contentType: string | null = FORM, init: RequestInit = {}, url = URL) =>
  parseTokenRequest(
    new Request(url, {
      method: 'POST',
      body,
      ...init,
      headers: { ...(contentType === null ? {} : { 'content-type': contentType }), ...init.headers },
    }),
    ['form', 'json'],
  )

const refused = (reason: string) => ({ ok: false, reason })

describe('a token request is read and left as it is', () => {
  test.each([
    ['a refresh', 'grant_type=refresh_token&refresh_token=r1', 'refresh_token'],
    ['a code', 'grant_type=authorization_code&code=c&code_verifier=v', 'authorization_code'],
    ['a grant that we do not know', 'grant_type=urn%3Aexample%3Anew&anything=at+all', 'urn:example:new'],
    ['several resources', 'grant_type=refresh_token&refresh_token=r&resource=a&resource=b', 'refresh_token'],
    ['several audiences', 'grant_type=refresh_token&refresh_token=r&audience=a&audience=b', 'refresh_token'],
    ['odd escapes', 'grant_type=refresh%5Ftoken&refresh_token=%E2%9C%93&x=%zz', 'refresh_token'],
  ])('%s', async (_, body, grantType) => {
    expect(await parse(body)).toMatchObject({ ok: true, value: { grantType, body, search: '' } })
  })

  test('a refresh whose token is in a cookie, as AuthKit keeps it in browsers', async () => {
    const parsed = await parse('{"grant_type":"refresh_token"}', 'application/json', {
      headers: { cookie: 'workos-session=s' },
    })
    expect(parsed).toMatchObject({ ok: true, value: { grantType: 'refresh_token' } })
  })

  test('in JSON, where the profile takes it', async () => {
    const body = '{ "grant_type": "refresh_token",\n "refresh_token": "r1", "n": 1.0 }'
    expect(await parse(body, 'application/json; charset=utf-8')).toMatchObject({ ok: true, value: { body } })
  })

  test('with its query', async () => {
    const parsed = await parse('grant_type=refresh_token&refresh_token=r', FORM, {}, `${URL}?tenant=1&x=%2F`)
    expect(parsed).toMatchObject({ ok: true, value: { search: '?tenant=1&x=%2F' } })
  })

  test.each([FORM.toUpperCase(), `${FORM};charset=UTF-8`, `${FORM} ; charset=utf-8`])(
    'as %s',
    async (type) => {
      expect((await parse('grant_type=refresh_token&refresh_token=r', type)).ok).toBe(true)
    },
  )
})

describe('a token request is refused', () => {
  test.each([
    ['without grant_type', 'refresh_token=r', FORM, 'parameter_missing'],
    ['with an empty grant_type', 'grant_type=&refresh_token=r', FORM, 'parameter_missing'],
    ['without a refresh_token to refresh with', 'grant_type=refresh_token', FORM, 'parameter_missing'],
    ['with an empty refresh_token', 'grant_type=refresh_token&refresh_token=', FORM, 'parameter_missing'],
    ['without anything', '', FORM, 'parameter_missing'],
    [
      'with a repeated refresh_token',
      'grant_type=refresh_token&refresh_token=a&refresh_token=b',
      FORM,
      'parameter_repeated',
    ],
    [
      'with a repeated member of JSON, where a list would do',
      '{"grant_type":"x","resource":"a","resource":"b"}',
      'application/json',
      'parameter_repeated',
    ],
    ['with a repeated parameter that we do not know', 'grant_type=x&y=1&y=1', FORM, 'parameter_repeated'],
    ['with one repeated under an escape', 'grant_type=x&scope=1&%73cope=2', FORM, 'parameter_repeated'],
    [
      'in JSON, repeated',
      '{"grant_type":"refresh_token","refresh_token":"a","refresh_token":"b"}',
      'application/json',
      'parameter_repeated',
    ],
    [
      'in JSON, repeated under an escape',
      '{"grant_type":"x","\\u0067rant_type":"y"}',
      'application/json',
      'parameter_repeated',
    ],
    [
      'in JSON, with a grant_type that is no string',
      '{"grant_type":["refresh_token"],"refresh_token":"a"}',
      'application/json',
      'parameter_missing',
    ],
    [
      'in JSON, without refresh_token',
      '{"grant_type":"refresh_token"}',
      'application/json',
      'parameter_missing',
    ],
    ['in JSON that is none', '{"grant_type":', 'application/json', 'body_malformed'],
    ['in JSON that is a list', '[]', 'application/json', 'body_malformed'],
    ['as text', 'grant_type=refresh_token&refresh_token=a', 'text/plain', 'content_type_unsupported'],
    ['as a multipart form', 'x', 'multipart/form-data; boundary=x', 'content_type_unsupported'],
    ['as a type that only begins like a form', 'x', `${FORM}x`, 'content_type_unsupported'],
  ])('%s', async (_, body, contentType, reason) => {
    expect(await parse(body, contentType)).toEqual(refused(reason))
  })

  test('without a content type', async () => {
    const body = new TextEncoder().encode('grant_type=refresh_token&refresh_token=a')
    expect(await parse(body, null)).toEqual(refused('content_type_unsupported'))
  })

  test('in JSON, where the profile does not take it', async () => {
    const request = new Request(URL, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(await parseTokenRequest(request, ['form'])).toEqual(refused('content_type_unsupported'))
  })

  test.each([
    [
      'two headers',
      [
        ['authorization', 'Basic YTpi'],
        ['authorization', 'Basic YTpj'],
      ],
    ],
    ['one header that joins two', [['authorization', 'Basic YTpi, Basic YTpj']]],
  ] as [string, [string, string][]][])('with two authorizations in %s', async (_, fields) => {
    const headers = new Headers([['content-type', FORM], ...fields])
    const request = new Request(URL, {
      method: 'POST',
      body: 'grant_type=refresh_token&refresh_token=a',
      headers,
    })
    expect(await parseTokenRequest(request, ['form'])).toEqual(refused('authorization_repeated'))
  })
})

describe('a body has at most 64 KiB', () => {
  const bodyOf = (length: number) => 'grant_type=refresh_token&refresh_token='.padEnd(length, 'r')
  const streamOf = (text: string) => new Blob([text]).stream()

  test.each([
    [
      'of declared length',
      (text: string) => ({ body: text, headers: { 'content-length': String(text.length) } }),
    ],
    ['in chunks of undeclared length', (text: string) => ({ body: streamOf(text), headers: {} })],
  ])('%s', async (_, init) => {
    expect(await parse(null, FORM, init(bodyOf(MAX_BODY_BYTES)))).toMatchObject({ ok: true })
    expect(await parse(null, FORM, init(bodyOf(MAX_BODY_BYTES + 1)))).toEqual(refused('body_too_large'))
  })

  test('a body that breaks off is unreadable', async () => {
    const body = new ReadableStream({
      pull(controller) {
        controller.error(new Error('cut off'))
      },
    })
    expect(await parse(body)).toEqual(refused('body_unreadable'))
  })
})
