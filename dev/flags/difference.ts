/**
 * From the state of the control plane to that in a file: the members that differ, and the commands that change them, in an
 * order in which each is valid after those before it. Pure.
 *
 * Nothing is ever removed because the file does not name it. Rules of environments, `review_every_days` and `retire_by`
 * that the file leaves out are not changed either; everything else that it leaves out gets its default.
 */
import { nearNames } from '../entitle/words.ts'
import type { Fault, FileFlag, FilePlan, FlagsFile } from './file.ts'
import type { Governed, GovernedFlag, GovernedPlan, GovernedRule } from './governed.ts'

export interface Item {
  readonly action: string
  readonly input: Readonly<Record<string, unknown>>
}

export interface Member {
  readonly name: string
  /** `undefined` if it is new. */
  readonly before: unknown
  readonly after: unknown
}

/** A flag or a plan that differs. */
export interface Entry {
  readonly kind: 'flag' | 'plan'
  readonly key: string
  readonly isNew: boolean
  readonly members: readonly Member[]
}

export interface Difference {
  readonly entries: readonly Entry[]
  readonly items: readonly Item[]
  /** What the file asks for and cannot be done. */
  readonly faults: readonly Fault[]
  /** What the control plane has and the file does not name. */
  readonly leftAlone: { readonly flags: readonly string[]; readonly plans: readonly string[] }
  /** Where a flag of the file is killed. */
  readonly killed: readonly { readonly flag: string; readonly environment: string }[]
}

/** The order of the commands: what is needed comes before what needs it. */
const STEPS = [
  'create flags',
  'update flags',
  // A flag that goes live must be in a plan by then.
  'create and add to plans',
  'set rules',
  'extend',
  'move to live or retiring',
  // A flag that leaves its last plan must not be live any more, or have a no_plan_reason.
  'take out of plans',
  // A flag no longer needs it once a plan holds it.
  'clear no_plan_reason',
  'retire',
] as const
type Step = (typeof STEPS)[number]

interface Found {
  readonly entries: Entry[]
  readonly items: { step: Step; item: Item }[]
  readonly faults: Fault[]
}

export function differenceOf(file: FlagsFile, governed: Governed): Difference {
  const found: Found = { entries: [], items: [], faults: [] }
  const flags = new Map(governed.flags.map((flag) => [flag.key, flag]))
  const plans = new Map(governed.plans.map((plan) => [plan.key, plan]))
  const funded = new Set([
    ...Object.values(file.plans).flatMap((plan) => plan.flags),
    ...governed.plans.filter(({ key }) => !Object.hasOwn(file.plans, key)).flatMap((plan) => plan.flags),
  ])
  for (const key of Object.keys(file.flags).sort()) {
    const flag = file.flags[key] as FileFlag
    compareFlag(key, flag, flags.get(key), governed.environments, found)
    if (flag.kind === 'entitlement' && flag.state === 'live' && flag.no_plan_reason === null) {
      if (!funded.has(key))
        fault(found, key, 'state', 'A live entitlement needs a plan that holds it, or a no_plan_reason')
    }
  }
  for (const key of Object.keys(file.plans).sort()) {
    const plan = file.plans[key] as FilePlan
    const unknown = checkPlan(key, plan, plans.get(key), file, flags)
    found.faults.push(...unknown)
    comparePlan(key, plan, plans.get(key), found)
  }
  return {
    entries: found.entries,
    items: STEPS.flatMap((step) => found.items.filter((one) => one.step === step).map(({ item }) => item)),
    faults: found.faults,
    leftAlone: {
      flags: governed.flags
        .filter(({ key, state }) => state !== 'retired' && !Object.hasOwn(file.flags, key))
        .map(({ key }) => key),
      plans: governed.plans.filter(({ key }) => !Object.hasOwn(file.plans, key)).map(({ key }) => key),
    },
    killed: governed.flags
      .filter(({ key, state }) => state !== 'retired' && Object.hasOwn(file.flags, key))
      .flatMap(({ key, rules }) =>
        rules.filter(({ killed }) => killed).map(({ environment }) => ({ flag: key, environment })),
      ),
  }
}

const fault = ({ faults }: Found, flag: string, member: string, message: string): void => {
  faults.push({ path: ['flags', flag, member], message })
}

function compareFlag(
  key: string,
  flag: FileFlag,
  existing: GovernedFlag | undefined,
  environments: readonly string[],
  found: Found,
): void {
  if (existing?.state === 'retired') {
    if (flag.state !== 'retired')
      fault(found, key, 'state', 'The flag is retired, and its key is never used again')
    return
  }
  if (existing && existing.kind !== flag.kind) {
    fault(found, key, 'kind', `A flag cannot change its kind: this one is ${existing.kind}`)
    return
  }
  const members: Member[] = existing ? changedMembers(key, flag, existing, found) : newFlag(key, flag, found)
  members.push(...changedRules(key, flag, existing, environments, found))
  const from = existing?.state ?? 'draft'
  const path = pathOf(from, flag.state)
  if (!path) {
    fault(found, key, 'state', `A flag cannot go from ${from} to ${flag.state}`)
    return
  }
  for (const state of path) {
    const step = state === 'retired' ? 'retire' : 'move to live or retiring'
    found.items.push({ step, item: { action: 'flag.move', input: { flag: key, state } } })
  }
  if (!existing || from !== flag.state)
    members.push({ name: 'state', before: existing?.state, after: flag.state })
  if (members.length > 0) found.entries.push({ kind: 'flag', key, isNew: !existing, members })
}

function newFlag(key: string, flag: FileFlag, found: Found): Member[] {
  const { state: _, rules: __, no_plan_reason, ...content } = flag
  const input = { key, ...content, ...(no_plan_reason !== null && { no_plan_reason }) }
  found.items.push({ step: 'create flags', item: { action: 'flag.create', input } })
  const { key: ___, ...shown } = input
  return Object.entries(shown)
    .filter(([, value]) => value !== '' && value !== false && !(Array.isArray(value) && value.length === 0))
    .map(([name, after]) => ({ name, before: undefined, after }))
}

function changedMembers(key: string, flag: FileFlag, existing: GovernedFlag, found: Found): Member[] {
  const members: Member[] = []
  const update: Record<string, unknown> = {}
  const compare = (name: 'name' | 'description' | 'owner' | 'review_every_days' | 'revoke_on_loss') => {
    if (flag[name] === undefined || flag[name] === existing[name]) return
    update[name] = flag[name]
    members.push({ name, before: existing[name], after: flag[name] })
  }
  compare('name')
  compare('description')
  compare('owner')
  if (!sameSet(flag.tags, existing.tags)) {
    update.tags = flag.tags
    members.push({ name: 'tags', before: existing.tags, after: flag.tags })
  }
  compare('review_every_days')
  compare('revoke_on_loss')
  const { no_plan_reason } = flag
  if (no_plan_reason !== existing.no_plan_reason) {
    members.push({ name: 'no_plan_reason', before: existing.no_plan_reason, after: no_plan_reason })
    if (no_plan_reason !== null) update.no_plan_reason = no_plan_reason
    else {
      const item = { action: 'flag.update', input: { flag: key, no_plan_reason } }
      found.items.push({ step: 'clear no_plan_reason', item })
    }
  }
  if (Object.keys(update).length > 0)
    found.items.push({
      step: 'update flags',
      item: { action: 'flag.update', input: { flag: key, ...update } },
    })
  return [...members, ...changedEnd(key, flag, existing, found)]
}

function changedEnd(key: string, { retire_by }: FileFlag, existing: GovernedFlag, found: Found): Member[] {
  if (retire_by === undefined || existing.retire_by === null) return []
  const [after, before] = [Date.parse(retire_by), Date.parse(existing.retire_by)]
  if (after === before) return []
  if (after < before) {
    const message = `A rollout can only be extended, not shortened: it ends at ${existing.retire_by}`
    fault(found, key, 'retire_by', message)
    return []
  }
  found.items.push({ step: 'extend', item: { action: 'flag.extend', input: { flag: key, retire_by } } })
  return [{ name: 'retire_by', before: existing.retire_by, after: retire_by }]
}

function changedRules(
  key: string,
  { rules }: FileFlag,
  existing: GovernedFlag | undefined,
  environments: readonly string[],
  found: Found,
): Member[] {
  return Object.entries(rules).flatMap(([environment, { access, percentage }]): Member[] => {
    if (!environments.includes(environment)) {
      const message = `The environment does not exist, or your key does not cover it. There are: ${environments.join(', ')}`
      found.faults.push({ path: ['flags', key, 'rules', environment], message })
      return []
    }
    const before = existing?.rules.find((rule) => rule.environment === environment) ?? NO_RULE
    if (before.access === access && before.percentage === percentage) return []
    const input = { flag: key, environment, access, percentage }
    found.items.push({ step: 'set rules', item: { action: 'rule.set', input } })
    const after = { access, percentage }
    return [
      {
        name: `rules.${environment}`,
        before: existing ? ruleText(before) : undefined,
        after: ruleText(after),
      },
    ]
  })
}

const NO_RULE = { access: 'none', percentage: null } as const

const ruleText = ({ access, percentage }: Pick<GovernedRule, 'access' | 'percentage'>): string =>
  percentage === null ? access : `${access} ${percentage} %`

type State = GovernedFlag['state']

const NEXT: Record<State, Partial<Record<State, readonly State[]>>> = {
  draft: { draft: [], live: ['live'], retiring: ['live', 'retiring'], retired: ['retired'] },
  live: { live: [], retiring: ['retiring'], retired: ['retiring', 'retired'] },
  retiring: { live: ['live'], retiring: [], retired: ['retired'] },
  retired: { retired: [] },
}

/** The states that a flag goes through; `undefined` if it cannot get there. */
export const pathOf = (from: State, to: State): readonly State[] | undefined => NEXT[from][to]

function checkPlan(
  key: string,
  plan: FilePlan,
  existing: GovernedPlan | undefined,
  file: FlagsFile,
  flags: ReadonlyMap<string, GovernedFlag>,
): Fault[] {
  return plan.flags.flatMap((flag, position): Fault[] => {
    if (existing?.flags.includes(flag)) return []
    const path = ['plans', key, 'flags', position]
    if (flags.get(flag)?.state === 'retired') return [{ path, message: `The flag ${flag} is retired` }]
    if (Object.hasOwn(file.flags, flag) || flags.has(flag)) return []
    const [near] = nearNames(flag, [...Object.keys(file.flags), ...flags.keys()])
    const hint = near === undefined ? '' : `. Did you mean ${near}?`
    return [
      { path, message: `There is no flag ${flag}, neither in this file nor in the control plane${hint}` },
    ]
  })
}

function comparePlan(key: string, plan: FilePlan, existing: GovernedPlan | undefined, found: Found): void {
  const { name, description, flags, grace_days } = plan
  const add = (step: Step, action: string, input: Record<string, unknown>) =>
    found.items.push({ step, item: { action, input } })
  if (!existing) {
    add('create and add to plans', 'plan.create', { key, name, description, flags, grace_days })
    const members = Object.entries({ name, description, flags, grace_days })
      .filter(([, value]) => value !== '')
      .map(([member, after]) => ({ name: member, before: undefined, after }))
    found.entries.push({ kind: 'plan', key, isNew: true, members })
    return
  }
  const members: Member[] = []
  const update: Record<string, unknown> = {}
  for (const member of ['name', 'description', 'grace_days'] as const) {
    if (plan[member] === existing[member]) continue
    update[member] = plan[member]
    members.push({ name: member, before: existing[member], after: plan[member] })
  }
  const added = flags.filter((flag) => !existing.flags.includes(flag))
  const dropped = existing.flags.filter((flag) => !flags.includes(flag))
  if (added.length + dropped.length > 0)
    members.push({ name: 'flags', before: existing.flags, after: flags.toSorted() })
  if (added.length > 0) update.flags = dropped.length === 0 ? flags : [...existing.flags, ...added]
  if (Object.keys(update).length > 0) add('create and add to plans', 'plan.update', { plan: key, ...update })
  if (dropped.length > 0) add('take out of plans', 'plan.update', { plan: key, flags })
  if (members.length > 0) found.entries.push({ kind: 'plan', key, isNew: false, members })
}

const sameSet = (one: readonly string[], other: readonly string[]): boolean =>
  JSON.stringify(one.toSorted()) === JSON.stringify(other.toSorted())

/** A request of the control plane holds this many commands, in a body of 64 KiB. */
const MAX_ITEMS = 100
const MAX_BYTES = 56 * 1024

/** The first part of the commands. Later ones may depend on earlier ones, never the other way round. */
export function firstPart(items: readonly Item[]): readonly Item[] {
  let bytes = 0
  const part = items.slice(0, MAX_ITEMS).filter((item) => {
    bytes += new TextEncoder().encode(JSON.stringify(item)).length + 1
    return bytes <= MAX_BYTES
  })
  return part.length > 0 ? part : items.slice(0, 1)
}
