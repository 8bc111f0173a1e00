/**
 * A stream of contract events as a CRM would send it, and the state that it ends in. Pure.
 *
 * The model here is a second opinion: a contract is the latest of its revisions, a delta is a change of the one before.
 * It shares no code with the Worker.
 */

export const FLAGS = ['reports', 'sso', 'scim', 'audit-log', 'exports', 'api'] as const
export const PLANS: Readonly<Record<string, readonly string[]>> = {
  starter: [],
  team: ['reports'],
  enterprise: ['reports', 'sso', 'api'],
}
const ADD_ONS = ['scim', 'audit-log', 'exports']
const DAY_MS = 86_400_000
const GRANTING = ['trialing', 'active', 'past_due']

export interface Phase {
  readonly plan: string | null
  /** Sorted. */
  readonly add: readonly string[]
  readonly status: string
  readonly from: string
  readonly to: string | null
}

export interface Contract {
  readonly contract: string
  readonly org: string
  readonly revision: number
  readonly phases: readonly Phase[]
}

export interface SentEvent {
  readonly id: string
  readonly body: string
}

export interface Stream {
  readonly organizations: readonly string[]
  /** As they are to be sent: shuffled, and some twice. */
  readonly deliveries: readonly SentEvent[]
  readonly events: number
  readonly expected: readonly Contract[]
}

export interface StreamOptions {
  readonly events: number
  readonly seed: number
  /** Epoch milliseconds. */
  readonly now: number
}

/** Share of events that are delivered twice. */
const DUPLICATES = 0.05
/** Deliveries that any order is possible within. */
const WINDOW = 500
const REVISIONS = 25
/** Contracts that change at the same time: so many revisions of one are within a window. */
const ACTIVE = 100

export function makeStream({ events: count, seed, now }: StreamOptions): Stream {
  const random = mulberry32(seed)
  const contracts = Math.max(1, Math.round(count / REVISIONS))
  const organizations = Array.from({ length: Math.ceil(contracts / 2) }, (_, index) => `org_${index + 1}`)
  const ordered: SentEvent[] = []
  const states: (Contract | undefined)[] = Array.from({ length: contracts })
  const left = Array.from({ length: contracts }, (_, index) => ({ index, revisions: REVISIONS }))
  const active = left.splice(0, ACTIVE)
  while (ordered.length < count) {
    const at = Math.floor(random() * active.length)
    const chosen = active[at]
    if (!chosen) break
    const { index } = chosen
    const org = organizations[index % organizations.length] as string
    const next = advance(states[index], { contract: `C-${index + 1}`, org, now, random })
    states[index] = next.state
    ordered.push({
      id: `evt-${next.state.contract}-${next.state.revision}`,
      body: JSON.stringify(next.event),
    })
    // The last ones go on for as long as events are wanted.
    if (--chosen.revisions > 0 || (left.length === 0 && active.length === 1)) continue
    active.splice(at, 1, ...left.splice(0, 1))
  }
  const doubled = ordered.flatMap((event) => (random() < DUPLICATES ? [event, event] : [event]))
  const deliveries: SentEvent[] = []
  for (let start = 0; start < doubled.length; start += WINDOW) {
    deliveries.push(...shuffled(doubled.slice(start, start + WINDOW), random))
  }
  const expected = states.filter((state) => state !== undefined)
  return { organizations, deliveries, events: ordered.length, expected }
}

interface Situation {
  readonly contract: string
  readonly org: string
  readonly now: number
  readonly random: () => number
}

type Changes = Readonly<Record<string, unknown>> & {
  readonly phase?: number
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
}

function advance(state: Contract | undefined, { contract, org, now, random }: Situation) {
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T
  const some = () => ADD_ONS.filter(() => random() < 0.4).sort()
  const far = () => new Date(now + (2 + Math.floor(random() * 300)) * DAY_MS).toISOString()
  const from = '2026-01-01T00:00:00.000Z'
  const revision = (state?.revision ?? 0) + 1
  const event = (type: string, data: object) => ({
    ...{ specversion: '1.0', id: `${contract}-${revision}`, source: 'https://crm.example.com', type },
    ...{ time: new Date(now).toISOString(), data },
  })
  const whole = (phases: readonly Phase[]) => ({
    state: { contract, org, revision, phases },
    event: event('contract.snapshot.v1', { contract, org, revision, phases }),
  })
  const plan = () => pick(Object.keys(PLANS))
  if (!state || random() < 0.3) {
    const now = { plan: plan(), add: some(), status: pick(['active', 'active', 'trialing']), from, to: null }
    const day = far()
    switch (pick(['plain', 'plain', 'downgrade', 'end', 'cancelled', 'add-ons only'])) {
      case 'downgrade':
        return whole([
          { ...now, plan: 'enterprise', to: day },
          { ...now, plan: 'team', add: [], from: day },
        ])
      case 'end':
        return whole([{ ...now, to: day }])
      case 'cancelled':
        return whole([{ ...now, status: 'cancelled' }])
      case 'add-ons only':
        return whole([{ ...now, plan: null }])
      default:
        return whole([now])
    }
  }
  const changes = pick<() => Changes>([
    () => ({ add: [pick(ADD_ONS)] }),
    () => ({ remove: [pick(ADD_ONS)] }),
    () => ({ plan: plan(), phase: 1 }),
    () => ({ status: pick(['active', 'past_due', 'paused', 'unpaid', 'cancelled']) }),
    () => (state.phases.length === 1 ? { to: far() } : { status: 'active' }),
  ])()
  const { phase, add = [], remove = [], ...rest } = changes
  const phases = state.phases.map((one, index) => {
    if (phase !== undefined && phase !== index + 1) return one
    const kept = one.add.filter((flag) => !remove.includes(flag) && !add.includes(flag))
    return { ...one, ...rest, add: [...kept, ...add].sort() }
  })
  const data = { contract, revision, base_revision: state.revision, changes }
  return { state: { ...state, revision, phases }, event: event('contract.delta.v1', data) }
}

/** What an organization has by its contracts at that moment (epoch milliseconds). */
export function flagsOf(contracts: readonly Contract[], org: string, now: number): string[] {
  const at = new Date(now).toISOString()
  const granting = contracts
    .filter((contract) => contract.org === org)
    .flatMap(({ phases }) => phases)
    .filter(({ status, from, to }) => GRANTING.includes(status) && from <= at && (to === null || at < to))
  return [...new Set(granting.flatMap(({ plan, add }) => [...(PLANS[plan ?? ''] ?? []), ...add]))].sort()
}

function shuffled<T>(all: readonly T[], random: () => number): T[] {
  const result = [...all]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}

/** A small generator that a seed repeats. */
function mulberry32(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
