/** Every source verifies alike: whose, unaltered, just now. The senders' own packages sign. */
import { describe, expect, test } from 'vitest'
import { MAX_BODY_BYTES } from '../../../../src/control/contract_sync/sources/source.ts'
import { altered, deliver, NEXT_SECRET, NOW, OTHER_SECRET, SECRET, SENDERS } from '../deliveries.ts'

const SECOND = 1000

describe.each(SENDERS)('$name', (sender) => {
  const source = sender.source([SECRET])

  test('what it signed just now is received, with its id and type, and the body as it is', async () => {
    const verified = await source.verify(await deliver(sender, sender.sample))
    expect(verified).toMatchObject({ ok: true, value: { payload: sender.sample } })
    if (!verified.ok) return
    expect(verified.value.id).toMatch(/^(evt|msg|event)_/)
    expect(verified.value.type).toMatch(/^(customer\.subscription|subscription|contract|organization)\./)
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
    const delivery = await deliver(sender, sender.sample)
    const { length } = delivery.body
    const changes: ((body: string) => string)[] = [
      ...[0, 1, Math.floor(length / 2), length - 1].map(
        (at) => (body: string) => `${body.slice(0, at)}${body[at] === 'x' ? 'y' : 'x'}${body.slice(at + 1)}`,
      ),
      ...[
        (body: string) => `${body} `,
        (body: string) => `${body}\n`,
        (body: string) => body.slice(1),
        () => '',
      ],
    ]
    for (const change of changes) {
      expect(await source.verify(altered(delivery, change))).toMatchObject({ reason: 'signature_invalid' })
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

  test.each([
    ['no JSON', '{"id":', undefined],
    ['nested without end', `${'['.repeat(30_000)}${']'.repeat(30_000)}`, undefined],
    ['no object', '[]', []],
    ['without an id and a type', '{}', {}],
    ['with an id and a type that are none', '{"id":7,"type":7,"event":7}', { id: 7, type: 7, event: 7 }],
    ['half a character', '{"name":"Party \\ud83c"}', { name: 'Party \ud83c' }],
  ])('what is signed is received, whatever it is: %s', async (_, body, payload) => {
    const verified = await source.verify(await deliver(sender, body))
    expect(verified).toMatchObject({ ok: true, value: { payload, type: undefined } })
    if (!verified.ok) return
    const event = { ...verified.value, source: source.name, id: 'x', type: 'unreadable', digest: '' }
    expect((await source.parse(event, NOW)).ok).toBe(false)
  })

  test('bytes that are no text are verified as they are', async () => {
    const delivery = await deliver(sender, '{"name":"é"}')
    const latin = Uint8Array.from([...delivery.body].filter((byte) => byte !== 0xc3))
    expect(await source.verify({ ...delivery, body: latin })).toMatchObject({ reason: 'signature_invalid' })
  })

  test.each([
    ['one that nobody knows', 'contract_of_marriage.signed', { ok: false, reason: 'unknown_type' }],
  ])('an event of a type is received: %s', async (_, type, meaning) => {
    const verified = await source.verify(
      await deliver(sender, { ...sender.sample, type, event: type, event_type: type }),
    )
    expect(verified).toMatchObject({ ok: true, value: { type } })
    if (!verified.ok) return
    const event = { ...verified.value, source: source.name, id: 'x', type, digest: '' }
    expect(await source.parse(event, NOW)).toEqual(meaning)
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
