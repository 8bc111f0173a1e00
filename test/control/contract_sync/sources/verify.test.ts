/** Every source verifies alike: whose, unaltered, just now. The senders' own packages sign. */
import { describe, expect, test } from 'vitest'
import { MAX_BODY_BYTES } from '../../../../src/control/model/source.ts'
import { deliver, NEXT_SECRET, NOW, OTHER_SECRET, SECRET, SENDERS } from '../deliveries.ts'

const SECOND = 1000

describe.each(SENDERS)('$name', (sender) => {
  const source = sender.source([SECRET])

  test('what it signed just now is received, with its id and type, and the body as it is', async () => {
    const verified = await source.verify(await deliver(sender, sender.sample))
    expect(verified).toMatchObject({ ok: true, value: { payload: sender.sample } })
    if (!verified.ok) return
    expect(verified.value.id).toMatch(/^(evt|msg|event)_/)
    expect(verified.value.type).toMatch(/^(customer\.subscription|contract|organization)\./)
    expect(verified.value.occurredAt).toBe(new Date(Date.parse(verified.value.occurredAt)).toISOString())
  })

  test.each([
    ['299 s old', NOW - 299 * SECOND, 'ok'],
    ['exactly 300 s old', NOW - 300 * SECOND, 'ok'],
    ['stale', NOW - 301 * SECOND, 'timestamp_stale'],
    ['a day old: replayed', NOW - 86_400 * SECOND, 'timestamp_stale'],
    ['exactly 300 s ahead', NOW + 300 * SECOND, 'ok'],
    ['from the future', NOW + 301 * SECOND, 'timestamp_future'],
    ['from next year', NOW + 365 * 86_400 * SECOND, 'timestamp_future'],
  ])('a delivery that is %s', async (_, at, outcome) => {
    const verified = await source.verify(await deliver(sender, sender.sample, { at }))
    expect(verified.ok ? 'ok' : verified.reason).toBe(outcome)
  })

  test('a delivery signed with a wrong secret is refused', async () => {
    const delivery = await deliver(sender, sender.sample, { secret: OTHER_SECRET })
    expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_invalid' })
  })

  test.each([
    ['the old secret', SECRET],
    ['the new secret', NEXT_SECRET],
  ])('while a secret is rotated, %s will do', async (_, secret) => {
    const rotating = sender.source([NEXT_SECRET, SECRET])
    expect(await rotating.verify(await deliver(sender, sender.sample, { secret }))).toMatchObject({
      ok: true,
    })
  })

  test('after the rotation, the old secret will not do', async () => {
    const delivery = await deliver(sender, sender.sample, { secret: SECRET })
    expect(await sender.source([NEXT_SECRET]).verify(delivery)).toEqual({
      ok: false,
      reason: 'signature_invalid',
    })
  })

  test('without a secret, nothing verifies', async () => {
    expect(await sender.source([]).verify(await deliver(sender, sender.sample))).toMatchObject({ ok: false })
  })

  test('a body that differs by one byte is refused, wherever the byte is', async () => {
    const { headers, body, now } = await deliver(sender, sender.sample)
    const places = [0, 1, Math.floor(body.length / 2), body.length - 1]
    for (const at of places) {
      const altered = `${body.slice(0, at)}${body[at] === 'x' ? 'y' : 'x'}${body.slice(at + 1)}`
      expect(await source.verify({ headers, body: altered, now })).toMatchObject({
        reason: 'signature_invalid',
      })
    }
    for (const altered of [`${body} `, `${body}\n`, body.slice(1), '']) {
      expect(await source.verify({ headers, body: altered, now })).toMatchObject({
        reason: 'signature_invalid',
      })
    }
  })

  test('a forged signature of the right form is refused', async () => {
    const delivery = await deliver(sender, sender.sample)
    const forged = (delivery.headers.get(sender.header) ?? '').replace(/.(?=.$)/, (character) =>
      character === '0' ? '1' : '0',
    )
    delivery.headers.set(sender.header, forged)
    expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_invalid' })
  })

  test('a forged delivery does not learn whether its time was right', async () => {
    const delivery = await deliver(sender, sender.sample, { at: 1_000_000_000_000, secret: OTHER_SECRET })
    expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_invalid' })
  })

  test('a delivery without a signature is refused', async () => {
    const delivery = await deliver(sender, sender.sample)
    delivery.headers.delete(sender.header)
    expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_missing' })
  })

  test.each(sender.loose.map((loose) => [String(loose), loose] as const))(
    'a header that is not as its sender writes it is refused: %s',
    async (_, loose) => {
      const delivery = await deliver(sender, sender.sample)
      delivery.headers.set(sender.header, loose(delivery.headers.get(sender.header) ?? ''))
      expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_malformed' })
    },
  )

  test('a second header of the same name is refused, even the same one', async () => {
    const delivery = await deliver(sender, sender.sample)
    delivery.headers.append(sender.header, delivery.headers.get(sender.header) ?? '')
    expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_malformed' })
  })

  test('a body of 64 KiB is received, and one byte more is refused before anything is computed', async () => {
    const size = JSON.stringify({ ...sender.sample, padding: '' }).length
    const fits = { ...sender.sample, padding: 'x'.repeat(MAX_BODY_BYTES - size) }
    const over = { ...fits, padding: `${fits.padding}x` }
    expect(await source.verify(await deliver(sender, fits))).toMatchObject({ ok: true })
    expect(await source.verify(await deliver(sender, over))).toEqual({
      ok: false,
      reason: 'body_too_large',
    })
    const wide = { ...sender.sample, padding: 'é'.repeat(MAX_BODY_BYTES / 2) }
    expect(await source.verify(await deliver(sender, wide))).toMatchObject({ reason: 'body_too_large' })
  })

  test('what is rightly signed but no JSON is refused', async () => {
    const body = '{"id":'
    const headers = await sender.sign(body, NOW, SECRET)
    expect(await source.verify({ headers, body, now: NOW })).toEqual({
      ok: false,
      reason: 'body_not_json',
    })
  })

  test.each([[{}], [[]], [{ type: 7, event: 7, id: 7 }], [{ ...sender.sample, type: '', event: '' }]])(
    'what is rightly signed but no event is refused: %j',
    async (event) => {
      expect(await source.verify(await deliver(sender, event))).toEqual({
        ok: false,
        reason: 'event_invalid',
      })
    },
  )

  test('an event of a type that nobody knows is received, and has no meaning', async () => {
    const event = { ...sender.sample, type: 'invoice.paid', event: 'invoice.paid' }
    const verified = await source.verify(await deliver(sender, event))
    expect(verified).toMatchObject({ ok: true, value: { type: 'invoice.paid' } })
    if (verified.ok)
      expect(await source.parse(verified.value, NOW)).toEqual({ ok: false, reason: 'unknown_type' })
  })
})

test('standard: one good signature in a list is enough, and other versions do not count', async () => {
  const sender = SENDERS.find(({ name }) => name === 'standard')
  if (!sender) return
  const source = sender.source([SECRET])
  const delivery = await deliver(sender, sender.sample)
  const good = delivery.headers.get('webhook-signature') ?? ''
  const bad = `v1,${btoa('x'.repeat(32))}`
  delivery.headers.set('webhook-signature', `v1a,${btoa('x'.repeat(64))} ${bad} ${good}`)
  expect(await source.verify(delivery)).toMatchObject({ ok: true })
  delivery.headers.set('webhook-signature', `${good.replace('v1,', 'v2,')} ${bad}`)
  expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_invalid' })
})

test.each(['webhook-id', 'webhook-timestamp'])('standard: %s is signed too', async (header) => {
  const sender = SENDERS.find(({ name }) => name === 'standard')
  if (!sender) return
  const source = sender.source([SECRET])
  const delivery = await deliver(sender, sender.sample)
  delivery.headers.set(header, header === 'webhook-id' ? 'msg_other' : String(NOW / 1000 + 1))
  expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_invalid' })
  delivery.headers.set(header, ' 0 0')
  expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_malformed' })
  delivery.headers.delete(header)
  expect(await source.verify(delivery)).toEqual({ ok: false, reason: 'signature_missing' })
})
