/** Whatever bytes a sender signs, it gets an answer that is no fault, and the event is kept as it came. */

import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'
import { SECRET } from './deliveries.ts'
import paddle from './fixtures/paddle/subscription.updated.json' with { type: 'json' }
import subscription from './fixtures/stripe/customer.subscription.updated.json' with { type: 'json' }
import ruleUpdated from './fixtures/workos/flag.rule_updated.json' with { type: 'json' }
import { snapshot } from './support.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp({ PADDLE_WEBHOOK_SECRETS: SECRET })
  await control.must('POST', '/orgs', { id: 'org_a', name: 'A' })
})

const hmac = (prefix: string, body: Uint8Array, key: Buffer | string) =>
  createHmac('sha256', key).update(prefix).update(body)

/** The headers of each source, over bytes. */
const SIGN: Record<string, (body: Uint8Array, now: number, id: string) => Record<string, string>> = {
  stripe: (body, now) => {
    const t = Math.floor(now / 1000)
    return { 'stripe-signature': `t=${t},v1=${hmac(`${t}.`, body, SECRET).digest('hex')}` }
  },
  workos: (body, now) => ({
    'workos-signature': `t=${now}, v1=${hmac(`${now}.`, body, SECRET).digest('hex')}`,
  }),
  paddle: (body, now) => {
    const t = Math.floor(now / 1000)
    return { 'paddle-signature': `ts=${t};h1=${hmac(`${t}:`, body, SECRET).digest('hex')}` }
  },
  standard: (body, now, id) => {
    const t = Math.floor(now / 1000)
    const key = Buffer.from(SECRET.replace('whsec_', ''), 'base64')
    const signature = `v1,${hmac(`${id}.${t}.`, body, key).digest('base64')}`
    return { 'webhook-id': id, 'webhook-timestamp': String(t), 'webhook-signature': signature }
  },
}

let sent = 0
async function deliver(
  source: string,
  body: Uint8Array,
): Promise<{ status: number; event_id: string; state: string }> {
  const headers = SIGN[source]?.(body, control.clock.now, `evt-${++sent}`)
  const request = new Request(`https://control.test/webhooks/${source}`, {
    method: 'POST',
    headers: headers ?? {},
    body,
  })
  const context = createExecutionContext()
  const response = await control.app.fetch(request, control.environment, context)
  const answer = await response.json<{ event_id: string; state: string }>()
  await waitOnExecutionContext(context)
  return { ...answer, status: response.status }
}

async function isKept(source: string, body: Uint8Array): Promise<void> {
  const { status, event_id, state } = await deliver(source, body)
  expect([200, 202]).toContain(status)
  const row = await bindings.DB.prepare('SELECT state, digest FROM inbox WHERE source = ? AND event_id = ?')
    .bind(source, event_id)
    .first<{ state: string; digest: string }>()
  // `received`: it is kept, and decided after the answer.
  if (state === 'received') expect(row).not.toBeNull()
  else expect(row?.state).toBe(state)
  const shown = await control.get(`/inbox/${source}/${encodeURIComponent(event_id)}`, 'editor')
  expect(shown.status).toBe(200)
}

const bytes = (text: string) => new TextEncoder().encode(text)
const samples: Record<string, object> = {
  ...{
    stripe: subscription,
    workos: ruleUpdated,
    paddle,
    standard: snapshot('C-1', 'org_a', 1, [{ plan: null }]),
  },
}

/** A real event in which one thing is another: numbers, text and shapes that somebody will send one day. */
const odd = fc.oneof(
  fc.constantFrom(
    '"Party \\ud83c"',
    '1e999',
    '-0',
    '9007199254740993',
    'null',
    '[]',
    '{}',
    '""',
    '"\\u0000"',
    'true',
  ),
  fc.constantFrom('"__proto__"', `"${'x'.repeat(3_000)}"`, `${'['.repeat(70)}${']'.repeat(70)}`, '"\u202e"'),
  fc.json(),
)
const changed = (sample: object) =>
  fc.tuple(fc.nat(), odd).map(([place, value]) => {
    const text = JSON.stringify(sample)
    const values = [...text.matchAll(/:("(?:[^"\\\\]|\\\\.)*"|-?\d+|true|false|null)/g)]
    const match = values[place % values.length]
    if (!match) return text
    const start = (match.index ?? 0) + 1
    return `${text.slice(0, start)}${value}${text.slice(start + (match[1]?.length ?? 0))}`
  })

test.each(Object.keys(SIGN))('%s: any bytes', async (source) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (body) => isKept(source, body)),
    { numRuns: 15 },
  )
})

test.each(Object.keys(SIGN))('%s: a real event in which one thing is odd', async (source) => {
  await fc.assert(
    fc.asyncProperty(changed(samples[source] ?? {}), (body) => isKept(source, bytes(body))),
    { numRuns: 40 },
  )
})
