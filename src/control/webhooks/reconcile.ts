/**
 * Reconciliation: what a source says now, beside what its events have made here. Does I/O through what it is handed.
 *
 * Whatever was lost on the way shows as a difference. It is repaired as if an event had told it, through the inbox, and only
 * where that is asked for.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import type { ContractRow } from '../db/rows.ts'
import type { Control } from '../http/context.ts'
import { State } from '../ledger/state.ts'
import type { CanonicalEvent } from '../model/events.ts'
import type { Arrival } from '../model/source.ts'
import type { Refusal } from '../refusals.ts'
import { applyEvent } from './effects.ts'
import { sourceName } from './mappings.ts'
import { candidates } from './names.ts'
import { fetchEntitlements, fetchSubscription, listSubscriptions, stripeApi } from './sources/stripe_api.ts'
import { fetchedRevision } from './sources/stripe_order.ts'
import { type Subscription, snapshotOf } from './sources/stripe_subscription.ts'

/** Subscriptions looked at by one call: each may ask Stripe for its customer's entitlements. */
const PAGE = 20

export const reconciliationBody = z.object({
  source: sourceName,
  apply: z.boolean().default(false).openapi({ description: 'Repair what differs; otherwise only tell.' }),
  cursor: z.string().max(200).optional(),
})

const contractSchema = z.object({
  id: z.string(),
  org: z.string(),
  plan: z.string().nullable(),
  status: z.string(),
  from: z.string(),
  to: z.string().nullable(),
  add: z.array(z.string()),
})

export const reconciliationSchema = z
  .object({
    source: z.string(),
    checked: z.int().openapi({ description: 'Subscriptions looked at.' }),
    differences: z.array(
      z.object({
        contract: z.string(),
        here: z.array(contractSchema).openapi({ description: 'The rows that differ, as they are.' }),
        there: z.array(contractSchema).openapi({ description: 'As the source has them.' }),
        problem: z.string().nullable().openapi({ description: 'Why it cannot be repaired: a code.' }),
        detail: z
          .string()
          .nullable()
          .openapi({ description: 'Of what: the name that nothing is mapped to.' }),
        repaired: z.boolean(),
      }),
    ),
    next_cursor: z.string().nullable(),
  })
  .openapi('Reconciliation')

type Answer = z.input<typeof reconciliationSchema>
type Difference = Answer['differences'][number]

export async function reconcile(
  { source, apply, cursor }: z.output<typeof reconciliationBody>,
  control: Control,
  actor: Actor,
): Promise<Result<Answer, Refusal>> {
  if (actor.environments !== null) return err('environment_forbidden')
  const { stripe } = control.config.webhooks
  if (source !== 'stripe') return err('source_not_reconcilable')
  if (!stripe?.apiKey) return err('source_without_key')
  const now = control.clock()
  const api = await stripeApi(stripe.apiKey, stripe.apiBase, control.fetcher)
  const page = await listSubscriptions(api, cursor, PAGE)
  if (!page.ok) return err('refetch_failed')
  const differences: Difference[] = []
  const events: CanonicalEvent[] = []
  for (const listed of page.value.data) {
    // A list has ten items of a subscription at most: the eleventh must not be taken for one that is no more.
    const whole = listed.items.has_more ? await fetchSubscription(api, listed.id) : ok(listed)
    if (!whole.ok) return err('refetch_failed')
    const snapshot = snapshotOf(whole.value, fetchedRevision(whole.value.status, now))
    if (snapshot) events.push(snapshot)
    else differences.push({ ...NOTHING_TOLD, contract: listed.id, problem: 'payload_invalid' })
  }
  const customers = new Map(page.value.data.map(({ customer }) => [customerOf(customer), customer]))
  for (const [id, customer] of customers) {
    const all = await fetchEntitlements(api, id)
    if (!all.ok) return err('refetch_failed')
    const flags = all.value.map(({ feature, lookup_key }) => ({
      ...{ kind: 'flag' as const, candidates: candidates(lookup_key, feature), ours: lookup_key },
    }))
    const contract = `stripe-entitlements:${id}`
    // Whoever has none, here or there, need not be known.
    if (flags.length === 0 && (await isUnknown(control, contract))) continue
    const [ours] = typeof customer === 'string' ? [] : candidates(customer.metadata?.org_id)
    const org = { kind: 'org' as const, candidates: candidates(id), ...(ours !== undefined && { ours }) }
    events.push({
      ...{ type: 'entitlements.snapshot', source, contract, revision: now, org, flags },
      from: new Date(now).toISOString(),
    })
  }
  for (const event of events) {
    const difference = await compare(event, control, now)
    if (!difference) continue
    const repaired = apply && difference.problem === null && (await repair(event, control, actor, now))
    differences.push({ ...difference, repaired })
  }
  return ok({
    ...{ source, checked: page.value.data.length, differences },
    next_cursor: page.value.next ?? null,
  })
}

const NOTHING_TOLD = { here: [], there: [], detail: null, repaired: false } satisfies Partial<Difference>

const isUnknown = async ({ db }: Control, contract: string): Promise<boolean> =>
  (await new State(db).rows('contracts').load(contract)) === undefined

const customerOf = (customer: Subscription['customer']): string =>
  typeof customer === 'string' ? customer : customer.id

/** What the event would change, beyond the revision. */
async function compare(
  event: CanonicalEvent,
  control: Control,
  now: number,
): Promise<Difference | undefined> {
  const { db, config, commands: book } = control
  const contract = 'contract' in event ? event.contract : ''
  const facts = {
    ...{ state: new State(db), head: 0, now, environments: config.environments, policies: [] },
    actor: { id: 'system:stripe', roles: [], apiKey: null, environments: null, teams: [], people: [] },
  }
  const applied = await applyEvent([event], {
    ...{ source: 'stripe', event: synthetic(contract, now, facts.actor.id), facts, book },
    meaning: null,
    applied: async () => undefined,
  })
  if (applied.state === 'superseded') return undefined
  const told = { ...NOTHING_TOLD, contract }
  if (applied.problem !== null) return { ...told, problem: applied.problem, detail: applied.detail }
  const changed = applied.steps.flatMap(({ edit }) =>
    edit.table === 'contracts' && !same(edit.before, edit.after) ? [edit] : [],
  )
  // Nobody is entitled to anything, here or there.
  if (
    changed.every(({ before, after }) => before === null && after.plan === null && after.add.length === 0)
  ) {
    return undefined
  }
  return {
    ...{ ...told, problem: null },
    here: changed.flatMap(({ before }) => (before ? [shown(before)] : [])),
    there: changed.map(({ after }) => shown(after)),
  }
}

const shown = ({ id, org, plan, status, from, to, add }: ContractRow) => ({
  id,
  org,
  plan,
  status,
  from,
  to,
  add,
})

const same = (one: ContractRow | null, other: ContractRow): boolean =>
  one !== null && JSON.stringify(shown(one)) === JSON.stringify(shown(other))

async function repair(
  event: CanonicalEvent,
  control: Control,
  { id: askedBy }: Actor,
  now: number,
): Promise<boolean> {
  const contract = 'contract' in event ? event.contract : ''
  const arrival: Arrival = { source: 'stripe', event: synthetic(contract, now, askedBy), parsed: ok([event]) }
  const delivered = await control.inbox.deliver(arrival)
  return delivered.ok && delivered.value.state === 'applied' && !delivered.value.duplicate
}

/** As if Stripe had told of it. */
const synthetic = (contract: string, now: number, askedBy: string) => ({
  ...{ id: `reconcile:${now}:${crypto.randomUUID()}:${contract}`.slice(0, 128), type: 'remint.reconciled' },
  ...{ occurredAt: new Date(now).toISOString(), payload: { contract, at: now } },
  askedBy,
})
