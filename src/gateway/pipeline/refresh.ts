/**
 * The token pipeline: `RefreshRequest -> UpstreamTokens -> VerifiedToken -> Documents -> Entitlements -> MintedToken ->
 * Response`. Here the request goes to upstream; `replace.ts` does the rest.
 *
 * Before upstream accepts the request, every fault leaves the client's refresh token valid.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { passThrough } from '../http/headers.ts'
import { inspect } from '../http/inspect.ts'
import { accessTokenOf } from '../http/token_search.ts'
import { type LogLine, warn } from '../log.ts'
import type { ReplaysExhausted } from '../sessions/call.ts'
import { mayBeUpstreams } from '../signing_keys/recognize.ts'
import type { KeysFault, UpstreamKeySet } from '../signing_keys/upstream_keys.ts'
import { type MintContext, type ReplaceReason, replaceTokens } from './replace.ts'
import type { RefreshRequest } from './request.ts'
import { serverTiming } from './respond.ts'
import {
  endpointUrl,
  readAnswer,
  type SendTokenRequest,
  type UpstreamReason,
  type UpstreamReply,
} from './upstream.ts'

export interface RefreshContext extends MintContext {
  readonly send: SendTokenRequest
}

export type RefreshReason = KeysFault | UpstreamReason | ReplaceReason

/**
 * Refreshes a session, or takes any other grant through the pipeline.
 *
 * @param headers - the client's headers, prepared for upstream
 * @param log - filled in on the way
 * @returns the response for the client; a reason if it is a fault of the gateway or upstream
 */
export async function refresh(
  context: RefreshContext,
  endpoint: string,
  request: RefreshRequest,
  headers: Headers,
  log: LogLine,
): Promise<Result<Response, RefreshReason> | ReplaysExhausted> {
  const { keys, clock, send } = context
  const available = await keys.current()
  if (!available.ok) return available

  const sentAt = clock()
  const reply = await send({ url: endpointUrl(endpoint, request), request, headers })
  const answer = reply.ok ? await readAnswer(reply.value) : reply
  log.upstream_ms = clock() - sentAt
  if (reply.ok) noteSession(log, reply.value)
  if (!answer.ok) return answer
  log.upstream_status = answer.value.response.status
  if (answer.value.kind === 'other') return passOn(context, answer.value.response, available.value, log)

  const { response, tokens } = answer.value
  const tokenType = request.parameters.find(([name]) => name === 'requested_token_type')?.[1]
  return replaceTokens(context, response, tokens, { minVersion: request.minVersion, tokenType }, log)
}

/** A refusal, or a success without tokens: passed on, unless an access token is hidden in it. */
async function passOn(
  { config, keyring }: RefreshContext,
  response: Response,
  keys: UpstreamKeySet,
  log: LogLine,
): Promise<Result<Response, 'access_token_misplaced' | 'upstream_unreachable'>> {
  let inspected: Awaited<ReturnType<typeof inspect>>
  try {
    inspected = await inspect(response, (jwt) => mayBeUpstreams(jwt, config, keyring, keys))
  } catch {
    return err('upstream_unreachable')
  }
  const redirected = accessTokenOf(response.headers.get('location') ?? '')
  if (inspected.holdsToken || (redirected && mayBeUpstreams(redirected, config, keyring, keys))) {
    log.access_token = 'withheld'
    return err('access_token_misplaced')
  }
  const passed = passThrough(inspected.response, config)
  passed.headers.append('server-timing', serverTiming(log))
  return ok(passed)
}

function noteSession(log: LogLine, { session, warnings = [] }: UpstreamReply): void {
  if (session !== undefined) log.session = session
  for (const warning of warnings) warn(log, warning)
}
