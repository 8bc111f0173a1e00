/**
 * The Worker's side of a shared refresh: verifies the proof, names the refresh, and calls its object for the answer.
 *
 * An object that breaks is called once more, because it may have stored the answer. Only if that fails too does the request
 * go to upstream directly: without the object, but not without the session.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { within } from '../../core/within.ts'
import type { Config } from '../config.ts'
import { isUnpacked } from '../http/inspect.ts'
import type { SendTokenRequest, UpstreamCall, UpstreamReply } from '../pipeline/upstream.ts'
import type { Profile } from '../profiles/profile.ts'
import type { RawAnswer, RefreshSessions, SessionCall, SessionOutcome } from './call.ts'
import { verifyProof } from './dpop.ts'
import { nameOf } from './name.ts'

const ATTEMPTS = 2
/** How much longer than upstream's time the object may take: two writes to its store, and the network. */
const OBJECT_WAIT_MS = 4000

const decoder = new TextDecoder()

/** Statuses without a body (RFC 9110 section 15.4.5). */
const WITHOUT_BODY = [304]

export interface CoalesceOptions {
  readonly sessions: RefreshSessions
  readonly pepper: CryptoKey
  readonly config: Config
  readonly profile: Profile
  /** The path without an object. */
  readonly direct: SendTokenRequest
  readonly clock: () => number
}

export function coalesced(options: CoalesceOptions): SendTokenRequest {
  const { sessions, direct } = options
  return async function sendShared(call) {
    if (call.request.grantType !== 'refresh_token') return direct(call)
    const session = await sessionCall(call, options)
    // The owner of this request is unknown, so it shares nothing; upstream will say what is wrong with it.
    if (!session) return bypass(direct, call, 'bypassed')

    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const outcome = await callObject(sessions, session)
      if (outcome === 'unreachable') continue
      if (!outcome.ok) return outcome
      const { answer, origin, unstored } = outcome.value
      const warnings = unstored ? ['answer_not_stored'] : []
      return ok({ ...read(answer), session: origin, warnings })
    }
    return bypass(direct, call, 'unreachable')
  }
}

async function bypass(direct: SendTokenRequest, call: UpstreamCall, session: 'bypassed' | 'unreachable') {
  const exchanged = await direct(call)
  return exchanged.ok ? ok({ ...exchanged.value, session, warnings: [`session_${session}`] }) : exchanged
}

/** The call of the object; `undefined` if the request does not prove possession of its key. */
async function sessionCall(
  { url, request, headers }: UpstreamCall,
  { config, profile, pepper, clock }: CoalesceOptions,
): Promise<SessionCall | undefined> {
  const { upstream, reuseSeconds } = config
  const refreshToken = request.parameters.find(([name]) => name === 'refresh_token')?.[1]
  if (typeof refreshToken !== 'string') return undefined
  const proven = await provenKey(url, headers, config, clock())
  if (!proven.ok) return undefined
  const { written } = request
  const named = { issuer: upstream.issuer, url, written, headers, proofThumbprint: proven.value }
  return {
    url,
    headers,
    body: request.body,
    refreshToken,
    name: await nameOf(named, pepper),
    timeoutMs: upstream.timeoutMs,
    patienceMs: profile.replaysRefresh ? 2 * upstream.timeoutMs : upstream.timeoutMs,
    reuseSeconds,
    replays: profile.replaysRefresh,
  }
}

async function provenKey(url: string, headers: Headers, { issuer, upstream }: Config, now: number) {
  const proof = headers.get('dpop')
  if (proof === null) return ok(undefined)
  const { pathname } = new URL(url)
  const origins = [issuer, upstream.origin, new URL(upstream.issuer).origin]
  const targets = origins.map((origin) => origin + pathname)
  return verifyProof(proof, targets, now)
}

/**
 * A fault of upstream is an outcome; what is thrown here is about the object itself. An object that hangs is not called again,
 * and not bypassed: it may have the answer when the client returns.
 */
async function callObject(
  sessions: RefreshSessions,
  call: SessionCall,
): Promise<SessionOutcome | Result<never, 'session_timeout'> | 'unreachable'> {
  try {
    const outcome = sessions.getByName(call.name).exchange(call)
    return (await within(call.patienceMs + OBJECT_WAIT_MS, outcome)) ?? err('session_timeout')
  } catch {
    return 'unreachable'
  }
}

/** The answer for the pipeline. 2xx bodies are passed as text, because the pipeline parses them anyway. */
function read({ status, statusText, headers, body, receivedAt }: RawAnswer): UpstreamReply {
  if (status >= 200 && status < 300) {
    return { response: { ok: true, status, statusText, headers }, text: decoder.decode(body), receivedAt }
  }
  const kept = new Headers(headers)
  for (const name of isUnpacked(headers) ? ['content-length', 'content-encoding'] : ['content-length'])
    kept.delete(name)
  const init = { status, statusText, headers: kept }
  return { response: new Response(WITHOUT_BODY.includes(status) ? null : body, init), receivedAt }
}
