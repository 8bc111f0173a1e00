/**
 * Verification as RPC: what a Worker with a service binding to the gateway calls in place of HTTP.
 *
 * A binding is given by whoever deploys, so that it needs no key. The answers are those of `POST /verify` and of the
 * dialects that ask about a subject; what is malformed throws, as a mistake of the caller's code.
 */
import { WorkerEntrypoint } from 'cloudflare:workers'
import type { Decision } from '../core/evaluate.ts'
import type { Freshness } from '../core/requirement.ts'
import type { GatewayBindings } from './config.ts'
import { type Open, opener } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import { parseRequirement } from './verification/json.ts'
import { reachVerdict, type VerdictAnswer, type Verification, verdictAnswer } from './verification/verdict.ts'

/** What a route needs. Lists that are left out ask for nothing. */
export interface RpcRequirement {
  readonly all?: readonly string[]
  readonly any?: readonly string[]
  /** Default: `claim`. */
  readonly freshness?: Freshness
}

export interface RpcSubject {
  readonly orgId?: string
  readonly userId?: string
}

/** What a subject may use now. */
export interface RpcEvaluation {
  /** Sorted and unique. */
  readonly flags: readonly string[]
  readonly decisions: readonly Decision[]
  /** Of the documents: `"87.12"`. */
  readonly version: string
}

const open: Open = opener({})

export class Verifier extends WorkerEntrypoint<GatewayBindings> {
  /** Verifies an access token and decides, as `POST /verify` does. */
  async verify(token: string, requirement: RpcRequirement = {}): Promise<VerdictAnswer> {
    const question = parseRequirement(requirement)
    if (!question || typeof token !== 'string') throw new TypeError('verify(token, { all, any, freshness })')
    return verdictAnswer(await reachVerdict(token, question, verificationOf(await this.#gateway())))
  }

  /** Evaluates all flags for an organization, a user, or a user of an organization. */
  async evaluate({ orgId, userId }: RpcSubject): Promise<RpcEvaluation> {
    const { current: readCurrent, warn } = verificationOf(await this.#gateway())
    const current = await readCurrent({ orgId, userId }, undefined, warn)
    if (!current) throw new Error('state_unknown')
    const { flags, decisions, version } = current
    return { flags, decisions, version }
  }

  async #gateway(): Promise<Gateway> {
    const opened = await open(this.env)
    if (!opened.ok) throw new Error('misconfigured')
    return opened.gateway
  }
}

const verificationOf = ({ identities, current, clock }: Gateway): Verification => ({
  identities,
  current,
  clock,
  // The caller's log is not ours to write; what it gets is an answer or an error with a name.
  warn: () => {},
})
