import { ok } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import type { ContractRow } from '../db/rows.ts'
import { byContract, byOrg } from '../entities/contract.ts'
import type { Edit } from '../entities/edit.ts'
import { bySource } from '../entities/grant.ts'
import type { Step } from '../ledger/command.ts'
import type {
  CanonicalEvent,
  ContractSnapshot,
  EntitlementsSnapshot,
  FlagDeleted,
  FlagTargets,
  OrgDeleted,
  OrgLinked,
  OrgUpserted,
} from '../model/events.ts'
import { aboutOf, entityOf, nameOf } from './about.ts'
import {
  conflict,
  contractActor,
  type EventContext,
  give,
  quarantined,
  type Steps,
  type Stopped,
  sourceActor,
  stopped,
  superseded,
  unresolved,
  whyOf,
} from './give.ts'
import {
  applyDelta,
  type ContractPut,
  entitlementsStatus,
  externalsOf,
  projectContract,
  projectEntitlements,
  type Resolve,
  resolveName,
  snapshotOfRows,
} from './project.ts'

export interface Applied {
  readonly state: 'applied' | 'ignored' | 'superseded' | 'waiting' | 'quarantined'
  /** Why it is not applied; `null` where it is. */
  readonly problem: string | null
  /** Of what. */
  readonly detail: string | null
  readonly steps: readonly Step[]
  readonly entity: string | null
  readonly org: string | null
  readonly revision: number | null
}

/** Targets of a flag that one event may name: each is a grant of its own in the same commit. */
const MAX_TARGETS = 500
/** Ids of contracts that are Stripe's. */
const STRIPE_ID = /^(sub_|stripe-entitlements:)/

/** Decides one event on the state that the events before it leave. */
export async function applyEvent(events: readonly CanonicalEvent[], context: EventContext): Promise<Applied> {
  const steps: Step[] = []
  const about = aboutOf(events)
  for (const event of events) {
    const state = context.facts.state.after(steps.map(({ edit }) => edit))
    const told = await applyOne(event, { ...context, facts: { ...context.facts, state } })
    if (!told.ok) return { ...about, ...told.stop, steps: [], org: null }
    steps.push(...told.value)
  }
  const org = steps.map(({ edit }) => orgOf(edit)).find((id) => id !== null) ?? null
  return { ...about, state: 'applied', problem: null, detail: null, steps, org }
}

const orgOf = (edit: Edit): string | null => {
  switch (edit.table) {
    case 'contracts':
      return edit.after.org
    case 'organizations':
      return edit.after.id
    default:
      return null
  }
}

async function applyOne(event: CanonicalEvent, context: EventContext): Promise<Steps> {
  switch (event.type) {
    case 'contract.snapshot':
      return applySnapshot(event, context)
    case 'contract.delta': {
      const rows = await context.facts.state.rows('contracts').by(byContract, [event.contract])
      const known = snapshotOfRows(event.contract, rows)
      const changed = applyDelta(known, event, await resolver(event, context))
      if (changed.ok) return applySnapshot(changed.value, context)
      if (changed.reason === 'base_missing') return stopped('waiting', changed.reason)
      // What came later holds it already, or it is the same again; what is neither has gone lost on the way.
      if (changed.reason !== 'base_passed') return quarantined(changed.reason)
      if (event.revision < (known?.revision ?? 0)) return superseded
      const last = await context.applied(entityOf(event) ?? '')
      const repeated = last?.revision === event.revision && last.meaning === context.meaning
      return repeated ? superseded : quarantined('contract_revision_conflict')
    }
    case 'entitlements.snapshot':
      return applyEntitlements(event, context)
    case 'org.linked':
      return linkOrganization(event, context)
    case 'org.upserted':
      return upsertOrganization(event, context)
    case 'org.deleted':
      return endOrganization(event, context)
    case 'flag.targets':
    case 'flag.deleted':
      return applyTargets(event, context)
    case 'session.revoked':
      // Written to the denylist by whoever keeps the inbox: it is no row.
      return ok([])
    case 'ignored':
      return stopped('ignored', event.why)
  }
}

async function applySnapshot(snapshot: ContractSnapshot, context: EventContext): Promise<Steps> {
  const { state } = context.facts
  const known = await state.rows('contracts').by(byContract, [snapshot.contract])
  if (known.some(({ source }) => source !== snapshot.source)) return quarantined('contract_of_another_source')
  if (snapshot.source !== 'stripe' && STRIPE_ID.test(snapshot.contract))
    return quarantined('contract_id_reserved')
  if (snapshot.revision < latest(known)) return superseded
  const projected = projectContract(snapshot, await resolver(snapshot, context), known)
  if (!projected.ok) return unresolved(projected)
  const ids = new Set(known.map(({ id }) => id))
  const others = projected.value.length !== ids.size || projected.value.some(({ id }) => !ids.has(id))
  if (snapshot.revision === latest(known) && others) return quarantined('contract_revision_conflict')
  const put = await putAll(projected.value, context, contractActor(snapshot.contract))
  if (!put.ok || snapshot.source !== 'stripe') return put
  const after = state.after(put.value.map(({ edit }) => edit))
  const org = projected.value[0]?.org
  const own = org === undefined ? [] : await after.rows('contracts').by(byOrg, [org])
  return ok([...put.value, ...followSubscriptions(own, context)])
}

const latest = (rows: readonly ContractRow[]): number =>
  Math.max(Number.NEGATIVE_INFINITY, ...rows.map(({ revision }) => revision))

async function putAll(rows: readonly ContractPut[], context: EventContext, actor: Actor): Promise<Steps> {
  const steps: Step[] = []
  for (const { id: contract, ...row } of rows) {
    const told = await give('contract.put', { contract, ...row }, context, actor, steps)
    if (!told.ok) return told
    steps.push(...told.value)
  }
  return ok(steps)
}

const ENTITLEMENTS = 'stripe-entitlements:'
const isEntitlements = ({ id, source }: ContractRow): boolean =>
  source === 'stripe' && id.startsWith(ENTITLEMENTS)
const isSubscription = (row: ContractRow): boolean => row.source === 'stripe' && !isEntitlements(row)

/** Stripe's entitlements have no status of their own: it is that of the subscriptions which they come from. */
function followSubscriptions(own: readonly ContractRow[], context: EventContext): Step[] {
  const status = entitlementsStatus(own.filter(isSubscription).map((row) => row.status))
  return own
    .filter((row) => isEntitlements(row) && row.status !== status)
    .map((before) => {
      const updated_at = new Date(context.facts.now).toISOString()
      const edit: Edit = { table: 'contracts', before, after: { ...before, status, updated_at } }
      return { edit, action: 'contract.put', actor: contractActor(before.id), ...whyOf(context) }
    })
}

async function applyEntitlements(event: EntitlementsSnapshot, context: EventContext): Promise<Steps> {
  const { state } = context.facts
  const known = await state.rows('contracts').load(event.contract)
  if (known && known.source !== event.source) return quarantined('contract_of_another_source')
  if (known && event.revision < known.revision) return superseded
  const resolve = await resolver(event, context)
  const org = resolveName(event.source, event.org, resolve)
  if (org === undefined) return quarantined('org_unknown', nameOf(event.org))
  const subscriptions = (await state.rows('contracts').by(byOrg, [org])).filter(isSubscription)
  const projected = projectEntitlements(event, resolve, subscriptions, known)
  if (!projected.ok) return unresolved(projected)
  return putAll(projected.value, context, contractActor(event.contract))
}

async function linkOrganization(
  { source, external_id, org: target, confirmed }: OrgLinked,
  context: EventContext,
): Promise<Steps> {
  const { state } = context.facts
  const mapped = await state.rows('mappings').load([source, 'org', external_id])
  if (mapped?.target === target) return ok([])
  if (mapped?.target) return quarantined('mapped_to_another_org', external_id)
  // It may come from an address that anybody can make up: an operator says whether it is so.
  if (!confirmed) return quarantined('org_unconfirmed', external_id)
  return give('mapping.set', { source, kind: 'org', external_id, target }, context, sourceActor(source))
}

async function upsertOrganization(event: OrgUpserted, context: EventContext): Promise<Steps> {
  const passed = await isPassed(event, context)
  if (passed) return passed
  const { state } = context.facts
  const id = resolveName(event.source, event.org, await resolver(event, context)) ?? nameOf(event.org)
  const known = await state.rows('organizations').load(id)
  if (known?.name === event.name) return ok([])
  const actor = sourceActor(event.source)
  return known
    ? give('organization.update', { org: id, name: event.name }, context, actor)
    : give('organization.create', { id, name: event.name }, context, actor)
}

/** Whoever is still logged in is asked to refresh, which the identity provider refuses. Its contracts are its own matter. */
async function endOrganization(event: OrgDeleted, context: EventContext): Promise<Steps> {
  const passed = await isPassed(event, context)
  if (passed) return passed
  const { state, now } = context.facts
  const id = resolveName(event.source, event.org, await resolver(event, context)) ?? nameOf(event.org)
  if (!(await state.rows('organizations').load(id))) return ok([])
  const not_before = Math.ceil(now / 1000)
  return give('organization.update', { org: id, not_before }, context, sourceActor(event.source))
}

/**
 * The rule, and the grants of source `import` that are not as they should be. Each has an order of its own: an event that
 * only switches a flag says nothing of targets, and one that comes late may still be the latest that does.
 */
async function applyTargets(event: FlagTargets | FlagDeleted, context: EventContext): Promise<Steps> {
  const { state } = context.facts
  const { source, environment } = event
  const targets = event.type === 'flag.targets' ? event.targets : NOBODY
  const accessStop = await isPassed(event, context)
  const targetsStop = targets === null ? superseded : await isPassed(event, context, TELLING_TARGETS)
  if (accessStop === conflict || targetsStop === conflict) return conflict
  if (accessStop && targetsStop) return superseded
  if (targets && targets.organizations.length + targets.users.length > MAX_TARGETS) {
    return quarantined('too_many_targets')
  }
  const resolve = await resolver(event, context)
  const flag = resolveName(source, event.flag, resolve)
  if (flag === undefined || !(await state.rows('flags').load(flag))) {
    // A flag that is not ours has nothing to lose.
    return event.type === 'flag.deleted' ? ok([]) : quarantined('flag_unknown', nameOf(event.flag))
  }
  const actor = sourceActor(source)
  const steps: Step[] = []
  if (!accessStop) {
    const access = event.type === 'flag.targets' ? event.access : 'none'
    const percentage = (await state.rows('rules').load([environment, flag]))?.percentage ?? null
    const set = await give('rule.set', { flag, environment, access, percentage }, context, actor)
    if (!set.ok) return set
    steps.push(...set.value)
  }
  if (targets === null || targetsStop) return ok(steps)
  const granted = await grantsFor(targets, flag, environment, resolve, context, actor)
  return granted.ok ? ok([...steps, ...granted.value]) : granted
}

const NOBODY = { organizations: [], users: [] }
/** The types of WorkOS's events that tell all targets. */
const TELLING_TARGETS = ['flag.rule_updated', 'flag.deleted']

async function grantsFor(
  targets: NonNullable<FlagTargets['targets']>,
  flag: string,
  environment: string,
  resolve: Resolve,
  context: EventContext,
  actor: Actor,
): Promise<Steps> {
  const { state, now } = context.facts
  const wanted = new Set<string>()
  for (const external of targets.organizations) {
    const org = resolveName(context.source, external, resolve)
    if (org === undefined) return quarantined('org_unknown', nameOf(external))
    wanted.add(`org ${org}`)
  }
  for (const user of targets.users) wanted.add(`user ${user}`)
  const at = new Date(now).toISOString()
  const steps: Step[] = []
  const imported = await state.rows('grants').by(bySource, [['import', flag, environment]])
  const active = imported.filter(({ to, effect }) => effect === 'allow' && (to === null || to > at))
  for (const grant of active) {
    if (wanted.delete(`${grant.subject_kind} ${grant.subject_id}`)) continue
    const told = await give('grant.revoke', { grant: grant.id }, context, actor)
    if (!told.ok) return told
    steps.push(...told.value)
  }
  for (const who of wanted) {
    const [kind = '', id = ''] = who.split(' ')
    const grant = { environment, subject: { kind, id }, flag, source: 'import' }
    const told = await give('grant.create', grant, context, actor)
    if (!told.ok) return told
    steps.push(...told.value)
  }
  return ok(steps)
}

/** Why an event comes to nothing because of one that was applied before; nothing where it is the latest. */
async function isPassed(
  event: CanonicalEvent & { readonly revision: number },
  context: EventContext,
  types?: readonly string[],
): Promise<Stopped | undefined> {
  const last = await context.applied(entityOf(event) ?? '', types)
  if (!last || event.revision > last.revision) return undefined
  const contradicts = event.revision === last.revision && last.meaning !== context.meaning
  return contradicts ? conflict : superseded
}

/** What the names of an event are mapped to. */
async function resolver(event: CanonicalEvent, { source, facts }: EventContext): Promise<Resolve> {
  const found = new Map<string, string>()
  for (const { kind: of, candidates } of externalsOf(event)) {
    const kinds = of === 'price' ? (['plan', 'flag'] as const) : [of]
    for (const kind of kinds) {
      for (const candidate of candidates) {
        const mapping = await facts.state.rows('mappings').load([source, kind, candidate])
        if (mapping?.target) found.set(`${kind} ${candidate}`, mapping.target)
      }
    }
  }
  return (_, kind, names) => {
    const name = names.find((candidate) => found.has(`${kind} ${candidate}`))
    return name === undefined ? undefined : found.get(`${kind} ${name}`)
  }
}
