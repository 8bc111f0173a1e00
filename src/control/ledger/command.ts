/**
 * What a command is: a name, a reason, and a decision that reads D1 and returns one edit, or refuses.
 *
 * A kind of command makes commands from data, so that one can be stored, reviewed by somebody else, and issued later.
 */
import type { z } from '@hono/zod-openapi'
import type { Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import type { ChangeItem } from '../db/schema.ts'
import type { Contradiction } from '../effects/contradictions.ts'
import type { Evaluation } from '../effects/evaluate.ts'
import type { Edit } from '../entities/edit.ts'
import type { Policy } from '../entities/entity.ts'
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
  /** One per environment, in their order. */
  readonly policies: readonly Policy[]
  readonly actor: Actor
}

/** A refusal; `contract_contradicts` comes with the contradicted contracts. */
export interface Refused {
  readonly ok: false
  readonly reason: Refusal
  readonly contradictions?: readonly Contradiction[]
}

export type Decided<T> = { readonly ok: true; readonly value: T } | Refused

/** Why a change is applied at once although the policy of an environment requires approval. */
export type Clearance = 'kill' | 'break_glass' | 'contract' | 'approved'

export interface Why {
  readonly reason: string
  readonly ticket: string | null
}

/** The members of a body that give the reason. */
export const because = (body: { reason: string; ticket?: string | undefined }): Why => ({
  reason: body.reason,
  ticket: body.ticket ?? null,
})

/** @typeParam E - the edit that the response is about; `null`: none in particular */
export interface Command<E extends Edit | null = Edit> extends Why {
  /** `rule.set`, `grant.create`, … */
  readonly action: string
  readonly clearance?: Clearance
  /** Whether the rule that it sets must not contradict a contract. */
  readonly checkContracts?: boolean
  /** The command as an item of a change request. Without it, an edit that a policy guards is refused. */
  item?(edit: NonNullable<E>): ChangeItem
  /** Can run more than once, if another command was faster; so it only reads. */
  decide(facts: Facts): Promise<Decided<NonNullable<E> | Decision<E>>>
}

/** The decision of a command that makes more than one edit. */
export interface Decision<E extends Edit | null = Edit> {
  /** Edits that are committed before `edit` in the same batch, in order. None may be empty. */
  readonly first: readonly Step[]
  readonly edit: E
  /** The effective diff of everything, if it is already known. */
  readonly evaluation?: Evaluation
  /** The change request that everything belongs to. */
  readonly change?: string
  /** The environments whose policies require approval of what is requested (not of the request itself). */
  readonly guarded?: readonly string[]
  /** What the response shows in addition to the row. */
  readonly detail?: unknown
}

/** An edit with the details of its audit row. */
export interface Step extends Why {
  readonly edit: Edit
  readonly action: string
  readonly actor: Pick<Actor, 'id' | 'apiKey' | 'onBehalfOf'>
}

/** How commands of one action are made. */
export interface CommandKind<I extends z.ZodObject = z.ZodObject, E extends Edit = Edit> {
  readonly action: string
  /** Who may issue it. */
  readonly roles: readonly Role[]
  readonly input: I
  create(input: z.output<I>, why: Why): Command<E>
}

/** Every action that can be part of a change request, by its name. */
export type CommandRegistry = ReadonlyMap<string, CommandKind>

export interface KindOptions<I extends z.ZodObject, E extends Edit>
  extends Pick<CommandKind<I, E>, 'action' | 'roles' | 'input'>,
    Pick<Command<E>, 'clearance' | 'checkContracts'> {
  /** The input with every value that depends on the current time filled in, so that it does the same later. */
  freeze?(input: z.output<I>, edit: E): z.output<I>
  decide(input: z.output<I>, facts: Facts, why: Why): Promise<Result<E | Decision<E>, Refusal>>
}

export function commandKind<I extends z.ZodObject, E extends Edit>({
  action,
  roles,
  input,
  freeze = (given) => given,
  decide,
  ...options
}: KindOptions<I, E>): CommandKind<I, E> {
  return {
    action,
    roles,
    input,
    create: (given, why) => ({
      action,
      ...why,
      ...options,
      item: (edit) => ({ action, input: freeze(given, edit) as ChangeItem['input'] }),
      decide: (facts) => decide(given, facts, why),
    }),
  }
}

export const commandRegistry = (...kinds: readonly { readonly action: string }[]): CommandRegistry =>
  new Map(kinds.map((kind) => [kind.action, kind as CommandKind]))
