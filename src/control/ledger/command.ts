/**
 * What a command is: a name, what it was given, who gives it and why, and a decision that turns what D1 holds into one
 * edit, or refuses.
 *
 * A kind of command makes commands from data, so that one can be kept, looked at by somebody else, and given later.
 */
import type { z } from '@hono/zod-openapi'
import type { Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import type { Evaluation } from '../effects/evaluate.ts'
import type { Edit } from '../entities/edit.ts'
import type { Refusal } from '../refusals.ts'
import type { Role } from '../roles.ts'
import type { State } from './state.ts'

export interface Facts {
  readonly state: State
  /** The last audit row of that state. */
  readonly head: number
  /** Epoch milliseconds. */
  readonly now: number
  readonly environments: readonly string[]
  readonly actor: Actor
}

/** Why a change is made at once where the policy of an environment asks for approval. */
export type Clearance = 'kill' | 'break_glass' | 'contract' | 'approved'

export interface Command<E extends Edit = Edit> {
  /** `rule.set`, `grant.create`, … */
  readonly action: string
  readonly reason: string
  readonly ticket: string | null
  /** What it was given, as data: with the action, enough to give it again. */
  readonly input: Readonly<Record<string, unknown>>
  readonly clearance?: Clearance
  /** May run more than once, when another command was faster; so it only reads. */
  decide(facts: Facts): Promise<Result<E | Decision<E>, Refusal>>
}

/** What a command comes down to, where it is more than one edit. */
export interface Decision<E extends Edit = Edit> {
  /** What is committed before it in the same batch, in order, each with an audit row of its own; all of it changes something. */
  readonly first: readonly Step[]
  readonly edit: E
  /** How the edit itself is told in the audit log, where not as the command. */
  readonly own?: Omit<Step, 'edit'>
  /** The effective diff of all of it, where it is known already. */
  readonly evaluation?: Evaluation
  /** The change request that all of it belongs to. */
  readonly change?: string
  /** The environments whose policies want it approved: of what is asked for, not of the asking. */
  readonly guarded?: readonly string[]
  /** What the answer shows besides the row. */
  readonly detail?: unknown
}

export interface Step {
  readonly edit: Edit
  readonly action: string
  readonly actor: Pick<Actor, 'id' | 'apiKey'>
  readonly reason: string
  readonly ticket: string | null
}

export type Why = Pick<Command, 'reason' | 'ticket'>

/** The members of a body that say why. */
export const because = (body: { reason: string; ticket?: string | undefined }): Why => ({
  reason: body.reason,
  ticket: body.ticket ?? null,
})

/** How commands of one action are made. */
export interface CommandKind<I extends z.ZodObject = z.ZodObject, E extends Edit = Edit> {
  readonly action: string
  /** Who may give it. */
  readonly roles: readonly Role[]
  readonly input: I
  /** Whether the rule that it sets must not contradict a contract. */
  readonly heedsContracts: boolean
  give(input: z.output<I>, why: Why): Command<E>
  /** The input with what was decided by the moment written down, so that giving it later does the same. */
  freeze(input: z.output<I>, edit: E): z.output<I>
}

/** Every action that can be part of a change request, by its name. */
export type CommandBook = ReadonlyMap<string, CommandKind>

export interface KindOptions<I extends z.ZodObject, E extends Edit> {
  readonly action: string
  readonly roles: readonly Role[]
  readonly input: I
  readonly clearance?: Clearance
  readonly heedsContracts?: boolean
  freeze?(input: z.output<I>, edit: E): z.output<I>
  decide(input: z.output<I>, facts: Facts, why: Why): Promise<Result<E, Refusal>>
}

export function commandKind<I extends z.ZodObject, E extends Edit>(
  options: KindOptions<I, E>,
): CommandKind<I, E> {
  const { action, roles, input, clearance, heedsContracts = false, freeze = (given) => given } = options
  return {
    action,
    roles,
    input,
    heedsContracts,
    freeze,
    give: (given, why) => ({
      action,
      ...why,
      input: given as Readonly<Record<string, unknown>>,
      ...(clearance && { clearance }),
      decide: (facts) => options.decide(given, facts, why),
    }),
  }
}

export const commandBook = (...kinds: readonly { readonly action: string }[]): CommandBook =>
  new Map(kinds.map((kind) => [kind.action, kind as CommandKind]))
