/** Deliveries as the senders make them: signed with their own packages, over the fixtures. */
import { createHmac } from 'node:crypto'
import { WorkOS } from '@workos-inc/node'
import { Webhook } from 'standardwebhooks'
import { Stripe } from 'stripe'
import { paddleSource } from '../../../src/control/contract_sync/sources/paddle/source.ts'
import type { Delivery, ReceivedEvent, Source } from '../../../src/control/contract_sync/sources/source.ts'
import { standardSource } from '../../../src/control/contract_sync/sources/standard/source.ts'
import { stripeSource } from '../../../src/control/contract_sync/sources/stripe/source.ts'
import { workosSource } from '../../../src/control/contract_sync/sources/workos/source.ts'
import paddleEvent from './fixtures/paddle/subscription.updated.json' with { type: 'json' }
import deltaEvent from './fixtures/standard/contract.delta.v1.json' with { type: 'json' }
import subscriptionEvent from './fixtures/stripe/customer.subscription.created.json' with { type: 'json' }
import organizationEvent from './fixtures/workos/organization.created.json' with { type: 'json' }

export const NOW = Date.parse('2026-11-22T09:00:00.000Z')

/** In no repository: `whsec_` and 32 times the same byte. */
export const secret = (byte: number): string => `whsec_${btoa(String.fromCharCode(...Array(32).fill(byte)))}`
export const [SECRET, NEXT_SECRET, OTHER_SECRET] = [secret(1), secret(2), secret(3)]

export interface Sender {
  readonly name: Source['name']
  /** The header with the signature. */
  readonly header: string
  source(secrets: readonly string[]): Source
  /** Headers of a body that is signed at that time (epoch ms). */
  sign(body: string, at: number, secret: string): Promise<Headers>
  /** What is signed over what, spelt in another way that a tolerant reader would take. */
  readonly loose: readonly ((header: string) => string)[]
  readonly sample: object
}

const noFetch: typeof fetch = () => {
  throw new Error('nothing is to be fetched')
}

const workos = new WorkOS({ apiKey: 'sk_not_a_key', clientId: 'client_01' })

export const SENDERS: readonly Sender[] = [
  {
    name: 'stripe',
    header: 'stripe-signature',
    source: (secrets) =>
      stripeSource(
        { secrets, apiKey: undefined, apiBase: 'https://api.stripe.com', testMode: true },
        noFetch,
      ),
    async sign(payload, at, secret) {
      const cryptoProvider = Stripe.createSubtleCryptoProvider()
      const options = { payload, secret, timestamp: Math.floor(at / 1000), cryptoProvider }
      const header = await Stripe.webhooks.generateTestHeaderStringAsync(options)
      return new Headers({ 'stripe-signature': header })
    },
    loose: [
      (header) => header.replace(',', ', '),
      (header) => header.toUpperCase(),
      (header) => `t=1,${header}`,
      (header) => header.replace('t=', 't=0'),
      (header) => header.replace(/v1=.*/, ''),
      (header) => `${header}00`,
    ],
    sample: subscriptionEvent,
  },
  {
    name: 'standard',
    header: 'webhook-signature',
    source: (secrets) => standardSource({ secrets }),
    async sign(body, at, secret) {
      const id = 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W'
      return new Headers({
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at / 1000)),
        'webhook-signature': new Webhook(secret).sign(id, new Date(at), body),
      })
    },
    loose: [
      (header) => header.replace(',', ', '),
      (header) => ` ${header} x`,
      (header) => header.replace('v1,', ''),
      (header) => header.replace('v1,', 'v1='),
    ],
    sample: deltaEvent,
  },
  {
    name: 'workos',
    header: 'workos-signature',
    source: (secrets) => workosSource({ secrets, environment: 'production', asksPolicy: true }),
    async sign(body, at, secret) {
      const signature = await workos.webhooks.computeSignature(at, body, secret)
      return new Headers({ 'workos-signature': `t=${at}, v1=${signature}` })
    },
    loose: [
      (header) => header.toUpperCase(),
      (header) => header.replace('t=', 't=0'),
      (header) => `${header}, v1=${'0'.repeat(64)}`,
      (header) => header.replace(/v1=.*/, ''),
      (header) => `${header}00`,
    ],
    sample: organizationEvent,
  },
  {
    name: 'paddle',
    header: 'paddle-signature',
    source: (secrets) => paddleSource({ secrets }),
    // As Paddle documents it: its package checks its own clock and signs nothing.
    async sign(body, at, secret) {
      const seconds = Math.floor(at / 1000)
      const hash = createHmac('sha256', secret).update(`${seconds}:${body}`).digest('hex')
      return new Headers({ 'paddle-signature': `ts=${seconds};h1=${hash}` })
    },
    loose: [
      (header) => header.replace(';', '; '),
      (header) => header.toUpperCase(),
      (header) => header.replace('ts=', 'ts=0'),
      (header) => `${header}00`,
    ],
    sample: paddleEvent,
  },
]

export const senderOf = (name: Source['name']): Sender => {
  const sender = SENDERS.find((one) => one.name === name)
  if (!sender) throw new Error(`no sender ${name}`)
  return sender
}

const bytes = (text: string) => new TextEncoder().encode(text)

export async function deliver(
  sender: Sender,
  event: object | string,
  { at = NOW, now = NOW, secret = SECRET } = {},
): Promise<Delivery> {
  const body = typeof event === 'string' ? event : JSON.stringify(event)
  return { headers: await sender.sign(body, at, secret), body: bytes(body), now }
}

/** The same delivery with another body. */
export const altered = (delivery: Delivery, change: (body: string) => string): Delivery => ({
  ...delivery,
  body: bytes(change(new TextDecoder().decode(delivery.body))),
})

/** An event, signed, delivered and verified by the source. */
export async function receive(source: Source, event: object): Promise<ReceivedEvent> {
  const verified = await source.verify(await deliver(senderOf(source.name), event))
  if (!verified.ok) throw new Error(verified.reason)
  const { id = '', type = '', ...envelope } = verified.value
  return { ...envelope, source: source.name, id, type, digest: '' }
}

export const parsed = async (source: Source, event: object, now = NOW) =>
  source.parse(await receive(source, event), now)
