import { describe, expect, test } from 'vitest'
import { oauthError, problem } from '../../../src/gateway/http/answers.ts'
import { readBounded } from '../../../src/gateway/http/body.ts'

const bytes = (length: number) => new Uint8Array(length).fill(97)

/** A body of unknown length, in chunks. */
function chunked(chunks: Uint8Array[], onCancel = () => {}): Response {
  const remaining = [...chunks]
  return new Response(
    new ReadableStream({
      pull(controller) {
        const chunk = remaining.shift()
        if (chunk) controller.enqueue(chunk)
        else controller.close()
      },
      cancel: onCancel,
    }),
  )
}

describe('a body is read up to its limit', () => {
  test.each([
    ['of the declared length', new Response('aaaa', { headers: { 'content-length': '4' } }), 'aaaa'],
    ['in chunks', chunked([bytes(2), bytes(2)]), 'aaaa'],
    ['that is not there', new Response(null), ''],
    ['with a character across two chunks', chunked([new Uint8Array([0xc3]), new Uint8Array([0xb6])]), 'ö'],
  ])('%s', async (_, message, text) => {
    expect(await readBounded(message, 4)).toEqual({ ok: true, value: text })
  })

  test('what declares more is not read', async () => {
    const message = chunked([bytes(1)])
    const declared = new Response(message.body, { headers: { 'content-length': '5' } })
    expect(await readBounded(declared, 4)).toEqual({ ok: false, reason: 'body_too_large' })
    expect(declared.bodyUsed).toBe(false)
  })

  test('what turns out to be more is given up in the middle', async () => {
    let given = 0
    let canceled = false
    const endless = new Response(
      new ReadableStream({
        pull(controller) {
          given++
          controller.enqueue(bytes(3))
        },
        cancel() {
          canceled = true
        },
      }),
    )
    expect(await readBounded(endless, 4)).toEqual({ ok: false, reason: 'body_too_large' })
    expect(canceled).toBe(true)
    expect(given).toBeLessThan(5)
  })

  test('bytes are counted, not characters', async () => {
    expect(await readBounded(new Response('öö'), 3)).toEqual({ ok: false, reason: 'body_too_large' })
  })

  test('the length of a compressed body says nothing about its text', async () => {
    const message = new Response('a'.repeat(100), {
      headers: { 'content-encoding': 'gzip', 'content-length': '3' },
    })
    expect(await readBounded(message, 4)).toEqual({ ok: false, reason: 'body_too_large' })
  })
})

test('an OAuth error holds a code, a sentence and the request id, and is not stored', async () => {
  const response = oauthError(400, 'invalid_request', 'No.', 'r1', { 'retry-after': '2' })
  expect(response.status).toBe(400)
  expect(await response.json()).toEqual({
    error: 'invalid_request',
    error_description: 'No.',
    request_id: 'r1',
  })
  expect(Object.fromEntries(response.headers)).toEqual({
    'cache-control': 'no-store',
    'content-type': 'application/json',
    pragma: 'no-cache',
    'retry-after': '2',
    'x-request-id': 'r1',
  })
})

test('a problem is application/problem+json with a stable code', async () => {
  const response = problem(405, 'method_not_allowed', 'Use POST.', 'r1', { allow: 'POST' })
  expect(await response.json()).toEqual({
    type: 'about:blank',
    status: 405,
    code: 'method_not_allowed',
    detail: 'Use POST.',
    request_id: 'r1',
  })
  expect(Object.fromEntries(response.headers)).toMatchObject({
    allow: 'POST',
    'cache-control': 'no-store',
    'content-type': 'application/problem+json',
    'x-request-id': 'r1',
  })
})
