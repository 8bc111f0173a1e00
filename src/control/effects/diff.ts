/**
 * The effective diff: who gains or loses which flag by an edit, and when. Pure.
 *
 * It evaluates the world before and the world after with the gateway's own `evaluate`, and never derives the result from
 * the edit: a grant to somebody whose contract has the flag anyway changes nothing. Subjects without records differ only by
 * their bucket, so they are evaluated one by one only if a percentage decides.
 */
import { bucket } from '../../core/bucket.ts'
import type { Catalog } from '../../core/documents.ts'
import { evaluate, type Subject } from '../../core/evaluate.ts'
import { bordersOf, type Side, sidesOf, type World } from './world.ts'

export interface Question {
  readonly environments: readonly string[]
  readonly organizations: readonly string[]
  readonly users: readonly string[]
  /** Epoch milliseconds. */
  readonly now: number
}

/** Who gains, or who loses: ids, sorted. */
export interface Subjects {
  readonly organizations: readonly string[]
  readonly users: readonly string[]
}

export interface FlagEffect {
  readonly environment: string
  readonly flag: string
  /** When it takes effect, RFC 3339; `null`: at once. */
  readonly at: string | null
  readonly gained: Subjects
  readonly lost: Subjects
}

/**
 * The full effective diff: what differs now, and at every later moment when a difference begins. A subject is evaluated
 * whenever one of its windows begins or ends, before or after the edit; in between nothing changes for it.
 */
export function effectOf(before: World, after: World, question: Question): FlagEffect[] {
  const [was, is] = [sidesOf(before), sidesOf(after)]
  return question.environments.flatMap((environment) =>
    effectsIn(environment, was(environment), is(environment), question),
  )
}

function effectsIn(environment: string, was: Side, is: Side, question: Question): FlagEffect[] {
  const { now } = question
  const effects = new Map<string, Growing>()
  const note = (
    kind: keyof Subjects,
    id: string,
    at: number,
    differences: Differences,
    last?: Differences,
  ) => {
    for (const [flag, side] of differences) {
      if (last?.get(flag) === side) continue
      const key = `${at} ${flag}`
      const effect = effects.get(key) ?? { at, flag, gained: nobody(), lost: nobody() }
      effect[side][kind].push(id)
      effects.set(key, effect)
    }
  }
  const compare = (old: Subject, current: Subject, at: number): Differences =>
    differencesOf(evaluate(was.catalog, old, at).flags, evaluate(is.catalog, current, at).flags)
  /** Records the differences that begin for a subject at each of its moments. */
  const walk = (kind: keyof Subjects, id: string, old: Subject, current: Subject) => {
    let last: Differences | undefined
    const borders = bordersOf([old.org ?? old.user ?? null, current.org ?? current.user ?? null], now)
    for (const at of [now, ...borders]) {
      const differences = compare(old, current, at)
      note(kind, id, at, differences, last)
      last = differences
    }
  }

  const unknown = compare({}, {}, now)
  const rolledOut = percentagesOf([was.catalog, is.catalog])
  for (const orgId of question.organizations) {
    const [old, current] = [was.org(orgId), is.org(orgId)]
    if (old || current) walk('organizations', orgId, { orgId, org: old }, { orgId, org: current })
    else {
      // There are no records: it differs from an anonymous subject only by its bucket.
      const decidedByBucket = rolledOut.some(([flag, percentage]) => bucket(flag, orgId) < percentage)
      note('organizations', orgId, now, decidedByBucket ? compare({ orgId }, { orgId }, now) : unknown)
    }
  }
  for (const userId of question.users) {
    walk('users', userId, { userId, user: was.user(userId) }, { userId, user: is.user(userId) })
  }
  return [...effects.values()]
    .sort((a, b) => a.at - b.at || (a.flag < b.flag ? -1 : 1))
    .map(({ at, flag, gained, lost }) => ({
      environment,
      flag,
      at: at === now ? null : new Date(at).toISOString(),
      gained,
      lost,
    }))
}

type Differences = Map<string, 'gained' | 'lost'>

interface Growing {
  readonly at: number
  readonly flag: string
  readonly gained: { organizations: string[]; users: string[] }
  readonly lost: { organizations: string[]; users: string[] }
}

const nobody = () => ({ organizations: [] as string[], users: [] as string[] })

function differencesOf(had: readonly string[], has: readonly string[]): Differences {
  const differences: Differences = new Map()
  for (const flag of has) if (!had.includes(flag)) differences.set(flag, 'gained')
  for (const flag of had) if (!has.includes(flag)) differences.set(flag, 'lost')
  return differences
}

/** The flags that a bucket can decide about, with the widest percentage of both sides. */
function percentagesOf(catalogs: readonly Catalog[]): [string, number][] {
  const widest = new Map<string, number>()
  for (const catalog of catalogs) {
    for (const [flag, { access, killed, percentage = 0 }] of Object.entries(catalog.flags)) {
      if (access === 'some' && !killed && percentage > 0) {
        widest.set(flag, Math.max(percentage, widest.get(flag) ?? 0))
      }
    }
  }
  return [...widest]
}
