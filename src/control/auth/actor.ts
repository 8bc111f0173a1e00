/** Who acts: a person, a key on behalf of one, or a part of the control plane itself. Pure. */

import type { OnBehalfOf } from '../db/people.ts'
import { foldNames } from '../entities/person.ts'

/** The actor of a command. */
export interface Actor {
  /** `user:…` or, for contract sync and schedules, `system:…`. */
  readonly id: string
  readonly roles: readonly string[]
  /** The API key that acts for the actor. */
  readonly apiKey: string | null
  /** `null`: every environment. */
  readonly environments: readonly string[] | null
  /** The actor's teams, named like the owners of flags. */
  readonly teams: readonly string[]
  /** Every name of everybody who may be behind the command: for a key, also its creator if known. */
  readonly people: readonly string[]
  /** For a key: who started the pipeline in which it is used, where the CI system says so. */
  readonly onBehalfOf?: OnBehalfOf | null
}

/** Stands for the unknown creator of a key that is older than creator tracking. */
export const UNKNOWN_PERSON = 'unknown'

/** A part of the control plane as an actor: not a person, in every environment. */
export const systemActor = (id: `system:${string}`): Actor => ({
  id,
  roles: [],
  apiKey: null,
  environments: null,
  teams: [],
  people: [],
})

/** Those of the environments that the actor's key covers. */
export const environmentsFor = ({ environments }: Actor, all: readonly string[]): string[] =>
  all.filter((name) => environments === null || environments.includes(name))

/**
 * Whether two lists name one person. Spellings that differ in case or in the form of an accent are one person here,
 * because being the same person forbids something; what being somebody permits is compared exactly.
 */
export function sharePerson(some: readonly string[], others: readonly string[]): boolean {
  const folded = new Set(foldNames(others))
  return foldNames(some).some((name) => folded.has(name))
}

/** Whether an owner of flags, a person or a team, is this actor. Keys do not count: their creator chose their name. */
export const isOwner = ({ id, teams, apiKey }: Actor, owner: string): boolean =>
  apiKey === null && (id === owner || teams.includes(owner))
