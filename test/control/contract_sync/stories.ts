/**
 * Stories of agreements, told act by act: what a CRM, Stripe and WorkOS send, what people do meanwhile, and the cron. Each
 * is a list of values, so that a table of them reads as a specification.
 */
import { INBOX_NAME } from '../../../src/control/config.ts'
import { type Answer, bindings, type ControlUnderTest } from '../support/control.ts'
import { delta, flagsOf, type PhaseOptions, send, sendStandard, snapshot } from './support.ts'

export type Act =
  | { readonly crm: { readonly id: string; readonly [member: string]: unknown }; readonly as?: string }
  | { readonly market: { readonly id: string }; readonly as?: string }
  | { readonly stripe: object }
  | { readonly workos: object }
  | { readonly api: readonly [method: string, path: string, body: Record<string, unknown>, ifMatch?: number] }
  | 'cron'

let number = 0
const unique = () => `evt_${++number}`

/** A snapshot of one phase. */
export const agreed = (contract: string, org: string, revision: number, phase: PhaseOptions = {}): Act => ({
  crm: snapshot(contract, org, revision, [phase]),
  as: `${unique()}`,
})

export const changed = (contract: string, revision: number, changes: object): Act => ({
  crm: delta(contract, revision, changes),
  as: unique(),
})

/** A CRM's event with other members than the helpers write. */
export const crm = (event: object): Act => ({
  crm: { id: unique(), ...event } as { id: string },
  as: unique(),
})

export interface SubscriptionOptions {
  readonly type?: string
  readonly status?: string
  readonly prices?: readonly (string | { readonly id: string; readonly quantity: number })[]
  readonly customer?: string
  readonly metadata?: Record<string, string>
  /** Epoch seconds. */
  readonly at: number
  readonly members?: object
  readonly previous?: object
  readonly livemode?: boolean
  readonly id?: string
}

const price = (one: string | { readonly id: string; readonly quantity: number }) => {
  const { id, quantity } = typeof one === 'string' ? { id: one, quantity: 1 } : one
  return {
    ...{ id: `si_${id}`, quantity, current_period_end: 1_900_000_000 },
    price: { id, lookup_key: null, product: `prod_${id}` },
  }
}

export const subscriptionObject = (id: string, options: Omit<SubscriptionOptions, 'at'>) => ({
  ...{
    id,
    object: 'subscription',
    status: options.status ?? 'active',
    customer: options.customer ?? 'cus_1',
  },
  ...{ start_date: 1_767_225_600, metadata: options.metadata ?? {}, schedule: null },
  ...(options.status === 'canceled' && { ended_at: 1_767_225_601 }),
  items: { data: (options.prices ?? ['price_team']).map(price), has_more: false },
  ...options.members,
})

export const subscribed = (id: string, options: SubscriptionOptions): Act => ({
  stripe: {
    ...{
      id: options.id ?? unique(),
      object: 'event',
      created: options.at,
      livemode: options.livemode ?? true,
    },
    type:
      options.type ??
      (options.status === 'canceled' ? 'customer.subscription.deleted' : 'customer.subscription.updated'),
    data: {
      object: subscriptionObject(id, options),
      ...(options.previous && { previous_attributes: options.previous }),
    },
  },
})

export const entitled = (customer: string, flags: readonly string[], at: number): Act => ({
  stripe: {
    ...{ id: unique(), object: 'event', type: 'entitlements.active_entitlement_summary.updated' },
    ...{ created: at, livemode: true },
    data: {
      object: {
        customer,
        entitlements: {
          data: flags.map((flag) => ({ id: `ent_${flag}`, feature: `feat_${flag}`, lookup_key: flag })),
          has_more: false,
        },
      },
    },
  },
})

export interface RuleOptions {
  readonly id?: string
  readonly slug?: string
  readonly access?: string
  readonly organizations?: readonly string[]
  readonly enabled?: boolean
  readonly actor?: object
}

/** @param at - RFC 3339 */
export const ruled = (at: string, { id = 'flag_1', slug = 'scim', ...rule }: RuleOptions = {}): Act => ({
  workos: {
    ...{ object: 'event', id: unique(), event: 'flag.rule_updated', created_at: at },
    data: {
      object: 'feature_flag',
      id,
      slug,
      name: slug,
      enabled: rule.enabled ?? true,
      default_value: false,
    },
    context: {
      access_type: rule.access ?? 'some',
      configured_targets: {
        organizations: (rule.organizations ?? []).map((org) => ({ id: org, name: org })),
        users: [],
      },
      ...(rule.actor && { actor: rule.actor }),
    },
  },
})

export const flagDeleted = (at: string, id = 'flag_1', slug = 'scim'): Act => ({
  workos: {
    ...{ object: 'event', id: unique(), event: 'flag.deleted', created_at: at },
    data: { object: 'feature_flag', id, slug, name: slug, enabled: false, default_value: false },
  },
})

export const mapped = (path: string, target: string | null): Act => ({
  api: ['PUT', `/mappings/${path}`, { target }],
})

/** A person's edit of a contract, in production's name. */
export const edited = (contract: string, org: string, body: Record<string, unknown>): Act => ({
  api: ['PUT', `/orgs/${org}/contracts/${contract}`, { from: '2026-01-01T00:00:00.000Z', ...body }],
})

export const organization = (id: string): Act => ({ api: ['POST', '/orgs', { id, name: id }] })

/** What is here before every story, in both environments. */
export async function begin(control: ControlUnderTest): Promise<void> {
  for (const key of ['reports', 'sso', 'scim']) {
    await control.liveFlag(key)
    await control.must('PUT', `/flags/${key}/rules/staging`, { access: 'some' }, 0)
  }
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['reports'] })
  await control.must('POST', '/plans', { key: 'enterprise', name: 'E', flags: ['reports', 'sso'] })
  for (const id of ['org_a', 'org_b']) await control.must('POST', '/orgs', { id, name: id })
  await control.must('PUT', '/mappings/stripe/plan/price_team', { target: 'team' })
  await control.must('PUT', '/mappings/stripe/plan/price_ent', { target: 'enterprise' })
}

/** Everything as it was when the stories began, but for the audit log. */
export async function startOver(): Promise<void> {
  const statements = [
    ...['inbox', 'contracts', 'agreements', 'grants', 'change_requests'].map(
      (table) => `DELETE FROM ${table}`,
    ),
    `DELETE FROM organizations WHERE id NOT IN ('org_a', 'org_b')`,
    'UPDATE organizations SET not_before = 0',
    `DELETE FROM plans WHERE key NOT IN ('team', 'enterprise')`,
    `DELETE FROM flags WHERE key NOT IN ('reports', 'sso', 'scim')`,
    'UPDATE flags SET revoke_on_loss = 0',
    `UPDATE rules SET access = 'some'`,
    `DELETE FROM mappings WHERE external_id NOT IN ('price_team', 'price_ent')`,
    `UPDATE mappings SET target = CASE external_id WHEN 'price_team' THEN 'team' ELSE 'enterprise' END`,
    `UPDATE policies SET approvals = 0, exclusive = '[]'`,
  ]
  await bindings.DB.batch(statements.map((sql) => bindings.DB.prepare(sql)))
}

/** @returns the answer to the last act that was sent */
export async function tell(control: ControlUnderTest, acts: readonly Act[]): Promise<Answer | undefined> {
  let last: Answer | undefined
  for (const act of acts) {
    control.clock.now = Date.now()
    if (act === 'cron') await (bindings.INBOX.getByName(INBOX_NAME) as { retry(): Promise<void> }).retry()
    else if ('crm' in act) last = await sendStandard(control, act.crm, { id: act.as ?? `evt-${act.crm.id}` })
    else if ('market' in act) {
      last = await send(control, 'standard/market', JSON.stringify(act.market), {
        id: act.as ?? act.market.id,
      })
    } else if ('stripe' in act) last = await send(control, 'stripe', JSON.stringify(act.stripe))
    else if ('workos' in act) last = await send(control, 'workos', JSON.stringify(act.workos))
    else last = { status: 200, headers: new Headers(), body: await control.must(...act.api) }
  }
  control.clock.now = Date.now()
  return last
}

/** What an organization has, the same in both environments: `reports sso`. */
export async function has(control: ControlUnderTest, org: string): Promise<string> {
  const production = (await flagsOf(control, org)).join(' ')
  const { body } = await control.get(`/orgs/${org}/entitlements?environment=staging`)
  const staging = body.flags.filter(({ on }: { on: boolean }) => on).map(({ flag }: { flag: string }) => flag)
  if (staging.join(' ') !== production) throw new Error(`staging has ${staging}, production ${production}`)
  return production
}
