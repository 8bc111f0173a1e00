/**
 * The token pipeline, stage by stage: `RefreshRequest -> UpstreamTokens -> VerifiedToken -> Documents -> Entitlements ->
 * MintedToken -> Response`.
 *
 * Before upstream says yes, every fault leaves the client's refresh token good. After it, no fault of ours may cost the
 * session: only an access token that does not verify is withheld.
 */
import { type Claims, subjectOf } from '../../core/claims.ts'
import { looksLikeJws } from '../../core/jws.ts'
import type { MintedEvent } from '../../core/mint_event.ts'
import { ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { entitle } from '../documents/entitle.ts'
import { lookupAtLeast, newestVersion } from '../documents/min_version.ts'
import type { DocumentStore } from '../documents/store.ts'
import { expose } from '../http/cors.ts'
import { passThrough } from '../http/headers.ts'
import type { LogLine } from '../log.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import type { KeysFault, UpstreamKeys } from '../signing_keys/upstream_keys.ts'
import { mint, mintIdToken } from './mint.ts'
import { mintedEvent } from './minted_event.ts'
import type { RefreshRequest } from './request.ts'
import { type Replacements, respond } from './respond.ts'
import {
  endpointUrl,
  readAnswer,
  type SendTokenRequest,
  type UpstreamReason,
  type UpstreamReply,
  type UpstreamTokens,
} from './upstream.ts'
import { type VerifyReason, verifyAccessToken, verifyIdToken } from './verify.ts'

export interface RefreshContext {
  readonly config: Config
  readonly keyring: Keyring
  readonly keys: UpstreamKeys
  readonly documents: DocumentStore
  readonly send: SendTokenRequest
  /** Tells the mint log, if there is one. @returns what the log line should say of it */
  readonly record: ((event: MintedEvent) => string | undefined) | undefined
  readonly clock: () => number
}

export type RefreshReason = KeysFault | UpstreamReason | VerifyReason

/** A JWT above this no longer fits beside others into a header or a cookie. */
const LARGE_JWT_BYTES = 2048

/**
 * Refreshes a session, or takes any other grant through the pipeline.
 *
 * @param headers - the client's headers, made ready for upstream
 * @param log - filled in on the way
 * @returns the answer for the client; a reason when the answer is a fault of ours or of upstream's
 */
export async function refresh(
  context: RefreshContext,
  endpoint: string,
  request: RefreshRequest,
  headers: Headers,
  log: LogLine,
): Promise<Result<Response, RefreshReason>> {
  const { config, keys, clock, send } = context
  const inHand = await keys.current()
  if (!inHand.ok) return inHand

  const askedAt = clock()
  const reply = await send({ url: endpointUrl(endpoint, request), request, headers })
  const answer = reply.ok ? await readAnswer(reply.value) : reply
  log.upstream_ms = clock() - askedAt
  if (reply.ok) noteSession(log, reply.value)
  if (!answer.ok) return answer
  log.upstream_status = answer.value.response.status
  if (answer.value.kind === 'other') {
    const response = passThrough(answer.value.response, config)
    response.headers.append('server-timing', serverTiming(log))
    return ok(response)
  }

  const { response, tokens } = answer.value
  const replaced = await replaceTokens(context, tokens, request.minVersion, log)
  if (!replaced.ok) return replaced
  const { version, ...replacements } = replaced.value
  const returned = respond(response, tokens, replacements, serverTiming(log), config)
  if (version !== undefined) {
    returned.headers.set('remint-version', String(version))
    expose(returned.headers, 'remint-version')
  }
  return ok(returned)
}

interface Replaced extends Replacements {
  /** The highest of the documents that were read, for a client that asked for one. */
  readonly version?: number | undefined
}

async function replaceTokens(
  context: RefreshContext,
  tokens: UpstreamTokens,
  minVersion: number | undefined,
  log: LogLine,
): Promise<Result<Replaced, VerifyReason>> {
  const { config, keyring, clock, record } = context
  if (!looksLikeJws(tokens.accessToken)) {
    log.access_token = 'opaque'
    const idToken = await replaceIdToken(context, tokens, tokens.accessToken, log)
    return ok({ idToken, expiresIn: remainingSeconds(tokens, clock()) })
  }

  const verified = await verifyAccessToken(tokens.accessToken, context, clock())
  if (!verified.ok) {
    log.access_token = 'withheld'
    return verified
  }

  const lookedUpAt = clock()
  const subject = subjectOf(verified.value.claims, config.orgClaim)
  const onFault = (fault: string, key: string) => warn(log, `${fault} ${key}`)
  const documents =
    minVersion === undefined
      ? await context.documents.lookup(subject, onFault)
      : await lookupAtLeast(minVersion, context.documents, subject, onFault, context)
  const version = minVersion === undefined ? undefined : newestVersion(documents)
  if (minVersion !== undefined && (version ?? 0) < minVersion) warn(log, 'min_version_not_reached')
  const now = clock()
  log.lookup_ms = now - lookedUpAt

  const entitlements = entitle(documents, subject, config.environment, now)
  const minted = await mint(verified.value, entitlements, keyring.active, config, now)
  const idToken = await replaceIdToken(context, tokens, minted.jwt, log, verified.value.claims)
  log.mint_ms = clock() - now
  log.access_token = 'minted'
  log.jti = minted.jti
  log.kid = keyring.active.kid
  log.src = entitlements.meta.src
  log.ver = entitlements.meta.ver
  log.flags = entitlements.flags.length
  if (minted.jwt.length > LARGE_JWT_BYTES) warn(log, 'access_token_over_2_kib')
  if (record) {
    const { claims } = verified.value
    const warning = record(mintedEvent(claims, subject, entitlements, minted, log.request_id, now))
    if (warning) warn(log, warning)
  }
  const expiresIn = minted.exp - Math.floor(now / 1000)
  return ok({ accessToken: minted.jwt, idToken, expiresIn, version })
}

/** An ID token that cannot be verified is left as it is: it is the client's to refuse, and nothing of ours is in it. */
async function replaceIdToken(
  context: RefreshContext,
  { idToken, accessToken: upstreamAccessToken }: UpstreamTokens,
  accessToken: string,
  log: LogLine,
  session: Claims = {},
): Promise<string | undefined> {
  if (idToken === undefined) return undefined
  const verified = await verifyIdToken(idToken, context, context.clock())
  if (!verified.ok) {
    log.id_token = verified.reason
    return undefined
  }
  const replaced = accessToken !== upstreamAccessToken
  const key = context.keyring.signerLike(verified.value.alg)
  return mintIdToken(verified.value, accessToken, replaced, key, context.config, session)
}

/** What is left of an opaque token's life; `undefined` where upstream's own figure still holds. */
function remainingSeconds({ body, receivedAt }: UpstreamTokens, now: number): number | undefined {
  const { expires_in: lifetime } = body.object
  const age = Math.floor((now - receivedAt) / 1000)
  return typeof lifetime === 'number' && age > 0 ? Math.max(0, lifetime - age) : undefined
}

function noteSession(log: LogLine, { session, warnings = [] }: UpstreamReply): void {
  if (session !== undefined) log.session = session
  for (const warning of warnings) warn(log, warning)
}

function warn(log: LogLine, warning: string): void {
  log.warnings = [...(log.warnings ?? []), warning]
}

/** @see https://www.w3.org/TR/server-timing/ */
function serverTiming({ session, upstream_ms, lookup_ms, mint_ms }: LogLine): string {
  const durations = Object.entries({ upstream: upstream_ms, lookup: lookup_ms, mint: mint_ms })
    .filter(([, duration]) => duration !== undefined)
    .map(([name, duration]) => `${name};dur=${duration}`)
  return (session === undefined ? durations : [...durations, `session;desc=${session}`]).join(', ')
}
