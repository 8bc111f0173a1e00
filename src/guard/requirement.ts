/**
 * What a route requires, checked where the route is made. Pure.
 *
 * One that cannot be understood is a mistake, and never counts as none.
 */

import { refuseUnknown } from '../core/known_names.ts'
import { FLAG_KEY } from '../core/names.ts'
import { type Freshness, NOTHING, type Requirement } from '../core/requirement.ts'

/** A flag, several of which all are needed, or lists of all and any. */
export type Required = string | readonly string[] | Partial<Requirement>

/** Overrides the guard's own. */
export interface CheckOptions {
  readonly freshness?: Freshness
}

/** The arguments of a check. Their number matters: without a requirement any token passes, an undefined one is a mistake. */
export type Demand = [required?: Required, options?: CheckOptions | undefined]

export interface ReadDemand {
  readonly requirement: Requirement
  readonly freshness: Freshness
}

/** @throws TypeError when the requirement or an option is not what it should be */
export function readDemand(demand: Demand, byDefault: Freshness): ReadDemand {
  const [required, options = {}] = demand
  const requirement = demand.length === 0 ? NOTHING : readRequirement(required)
  refuseUnknown('the options of a check', options, ['freshness'])
  const { freshness } = options
  return { requirement, freshness: freshness === undefined ? byDefault : readFreshness(freshness) }
}

/** @throws TypeError when it is no flag, list or object of `all` and `any`, or has an `any` that nobody can meet */
export function readRequirement(required: unknown): Requirement {
  if (typeof required === 'string') return { all: flagList('a flag', [required]), any: [] }
  if (Array.isArray(required)) return { all: flagList('a list of flags', required), any: [] }
  if (typeof required !== 'object' || required === null)
    throw new TypeError('a requirement is a flag, a list of flags, or { all, any }')
  refuseUnknown('a requirement', required, ['all', 'any'])
  const requirement = required as Record<'all' | 'any', unknown>
  if (!('all' in required || 'any' in required)) throw new TypeError('a requirement needs all or any')
  const any = 'any' in required ? flagList('any', requirement.any) : []
  if ('any' in required && any.length === 0) throw new TypeError('any must name a flag')
  return { all: 'all' in required ? flagList('all', requirement.all) : [], any }
}

function flagList(name: string, list: unknown): readonly string[] {
  if (!Array.isArray(list)) throw new TypeError(`${name} must be a list of flags`)
  for (const flag of list) {
    if (typeof flag !== 'string' || !FLAG_KEY.test(flag))
      throw new TypeError(`not a flag key: ${String(flag)}`)
  }
  return [...list]
}

export function readFreshness(freshness: unknown): Freshness {
  if (freshness !== 'claim' && freshness !== 'live')
    throw new TypeError('freshness must be "claim" or "live"')
  return freshness
}
