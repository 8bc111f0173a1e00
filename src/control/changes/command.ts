/**
 * What a command is: a name, who gives it and why, and a decision that turns what D1 holds into one edit, or refuses.
 */
import type { Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import type { Edit } from '../model/edit.ts'
import type { Refusal } from '../refusals.ts'

/** Who gives a command. */
export interface Actor {
  /** `user:…` or, for contract sync and schedules, `system:…`. */
  readonly id: string
  readonly roles: readonly string[]
  /** The API key that acts for the actor. */
  readonly apiKey: string | null
  /** `null`: every environment. */
  readonly environments: readonly string[] | null
}

/** Of these environments, those that the actor's key is for. */
export const environmentsFor = ({ environments }: Actor, all: readonly string[]): string[] =>
  all.filter((name) => environments === null || environments.includes(name))

export interface Facts {
  readonly db: Database
  /** Epoch milliseconds. */
  readonly now: number
  readonly environments: readonly string[]
  readonly actor: Actor
}

export interface Command<E extends Edit = Edit> {
  /** `rule.set`, `grant.create`, … */
  readonly action: string
  readonly reason: string
  readonly ticket: string | null
  /** May run more than once, when another command was faster; so it only reads. */
  decide(facts: Facts): Promise<Result<E, Refusal>>
}

/** The members of a body that say why. */
export const because = (body: { reason: string; ticket?: string | undefined }) => ({
  reason: body.reason,
  ticket: body.ticket ?? null,
})
