/**
 * Verification as RPC, for Workers with a service binding to the gateway, instead of HTTP.
 *
 * The operator of the account creates the binding, so it needs no key. The results are those of `POST /verify` and of the
 * dialects about subjects; malformed input throws, as a mistake in the caller's code.
 */
import { WorkerEntrypoint } from 'cloudflare:workers'
import { documentId, type SubjectIds } from '../core/claims.ts'
import type { Decision } from '../core/evaluate.ts'
import type { Freshness } from '../core/requirement.ts'
import type { GatewayBindings } from './config.ts'
import type { Gateway } from './gateway.ts'
import { openOnce } from './handlers/request_context.ts'
import { type LogLine, warn, writeLog } from './log.ts'
import { parseRequirement } from './verification/json.ts'
import { reachVerdict, type VerdictAnswer, type Verification, verdictAnswer } from './verification/verdict.ts'

/** What a route requires. Lists that are left out require nothing. */
export interface RpcRequirement {
  readonly all?: readonly string[]
  readonly any?: readonly string[]
  /** Default: `claim`. */
  readonly freshness?: Freshness
}

export interface RpcSubject {
  readonly orgId?: string | undefined
  readonly userId?: string | undefined
}

/** What a subject may use now. */
export interface RpcEvaluation {
  /** Sorted and unique. */
  readonly flags: readonly string[]
  readonly decisions: readonly Decision[]
  /** Of the documents: `"87.12"`. */
  readonly version: string
}

/** Also for HTTP in the same isolate. */
export const open = openOnce({})

export class Verifier extends WorkerEntrypoint<GatewayBindings> {
  /** Verifies an access token and decides, as `POST /verify` does. */
  async verify(token: string, requirement: RpcRequirement = {}): Promise<VerdictAnswer> {
    const question = parseRequirement(requirement)
    if (!question || typeof token !== 'string') throw new TypeError('verify(token, { all, any, freshness })')
    return this.#answer('verify', async (verification, log) => {
      const verdict = await reachVerdict(token, question, verification)
      if (!verdict.allowed) log.reason = verdict.reason
      return verdictAnswer(verdict)
    })
  }

  /**
   * Evaluates all flags for an organization, a user, or a user of an organization.
   *
   * @throws TypeError if an id is malformed, or no subject is named
   */
  async evaluate(subject: RpcSubject): Promise<RpcEvaluation> {
    const ids = readSubject(subject)
    return this.#answer('evaluate', async ({ current: readCurrent, warn }, log) => {
      const { entitlements } = await readCurrent(ids, undefined, warn)
      if (!entitlements) {
        log.reason = 'state_unknown'
        throw new Error('state_unknown')
      }
      const { flags, decisions, version } = entitlements
      return { flags, decisions, version }
    })
  }

  /** One log line per call, as for a request. */
  async #answer<T>(
    method: string,
    ask: (verification: Verification, log: LogLine) => Promise<T>,
  ): Promise<T> {
    const { identities, current, clock } = await this.#gateway()
    const log: LogLine = { request_id: crypto.randomUUID(), method, route: 'rpc' }
    const startedAt = clock()
    try {
      return await ask({ identities, current, clock, warn: (warning) => warn(log, warning) }, log)
    } finally {
      log.duration_ms = clock() - startedAt
      writeLog(log)
    }
  }

  async #gateway(): Promise<Gateway> {
    const opened = await open(this.env)
    if (!opened.ok) throw new Error('misconfigured')
    return opened.gateway
  }
}

/** A malformed id would fail the whole read, and one that is left out by mistake would skip its denials. */
function readSubject(subject: unknown): SubjectIds {
  const isObject = typeof subject === 'object' && subject !== null
  const given = Object.entries(isObject ? subject : {}).filter(([, id]) => id !== undefined)
  const isUnderstood = given.every(
    ([name, id]) => (name === 'orgId' || name === 'userId') && documentId(id) !== undefined,
  )
  if (given.length === 0 || !isUnderstood) throw new TypeError('evaluate({ orgId, userId })')
  const { orgId, userId } = Object.fromEntries(given)
  return { orgId: documentId(orgId), userId: documentId(userId) }
}
