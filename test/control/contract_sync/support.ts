/** Events that reach the control plane as their senders send them: over HTTP, signed with the senders' own packages. */
import { Webhook } from 'standardwebhooks'
import type { Answer, ControlUnderTest } from '../support/control.ts'
import { SECRET, senderOf } from './deliveries.ts'

type SourceName = 'stripe' | 'standard' | 'standard/market' | 'workos'

export interface SendOptions {
  readonly id?: string
  readonly at?: number
  readonly secret?: string
}

/** Sends a body as it is, with the headers of its source. */
export async function send(
  control: ControlUnderTest,
  source: SourceName,
  body: string,
  { id, at = control.clock.now, secret = SECRET }: SendOptions = {},
): Promise<Answer> {
  const headers =
    source.startsWith('standard') && id !== undefined
      ? new Headers({
          'webhook-id': id,
          'webhook-timestamp': String(Math.floor(at / 1000)),
          'webhook-signature': new Webhook(secret).sign(id, new Date(at), body),
        })
      : await senderOf(source).sign(body, at, secret)
  headers.set('content-type', 'application/json')
  return control.send(`/webhooks/${source}`, { method: 'POST', headers, body })
}

export interface PhaseOptions {
  readonly plan?: string | null
  readonly add?: readonly string[]
  readonly status?: string
  readonly from?: string
  readonly to?: string | null
}

const FROM = '2026-01-01T00:00:00.000Z'
/** Grace counts from when something happened. */
const TODAY = new Date().toISOString()

export const phase = ({
  plan = 'team',
  add = [],
  status = 'active',
  from = FROM,
  to = null,
}: PhaseOptions) => ({
  ...{ plan, add, status, from, to },
})

/** A CRM's `contract.snapshot.v1`. */
export const snapshot = (
  contract: string,
  org: string,
  revision: number,
  phases: readonly PhaseOptions[],
) => ({
  ...{
    specversion: '1.0',
    id: `${contract}-${revision}`,
    source: 'https://crm.example.com',
    time: TODAY,
  },
  type: 'contract.snapshot.v1',
  data: { contract, org, revision, phases: phases.map(phase) },
})

export const delta = (contract: string, revision: number, changes: object, base = revision - 1) => ({
  ...{
    specversion: '1.0',
    id: `${contract}-${revision}`,
    source: 'https://crm.example.com',
    time: TODAY,
  },
  type: 'contract.delta.v1',
  data: { contract, revision, base_revision: base, changes },
})

/** A CRM's event, under its own name by default. */
export const sendStandard = (control: ControlUnderTest, event: { id: string }, options: SendOptions = {}) =>
  send(control, 'standard', JSON.stringify(event), { id: `evt-${event.id}`, ...options })

/** The rows of contracts as they count: without the marks of when they were touched. */
export async function contractsOf(control: ControlUnderTest, org: string) {
  const { contracts } = (await control.get(`/orgs/${org}`)).body
  return contracts.map(({ updated_at: _, ...contract }: Record<string, unknown>) => contract)
}

export async function flagsOf(control: ControlUnderTest, org: string, at?: string): Promise<string[]> {
  const query = at === undefined ? '' : `&at=${at}`
  const { body } = await control.get(`/orgs/${org}/entitlements?environment=production${query}`)
  return body.flags.filter(({ on }: { on: boolean }) => on).map(({ flag }: { flag: string }) => flag)
}
