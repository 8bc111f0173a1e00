/**
 * Replaces the tokens in a response of upstream by minted ones: `UpstreamTokens -> VerifiedToken -> Documents ->
 * Entitlements -> MintedToken -> Response`.
 *
 * Upstream has accepted the request, so no fault of the gateway may cost the session: only an access token that does not
 * verify is withheld, whatever upstream or the client calls it.
 */
import { decodeProtectedHeader } from 'jose'
import type { Claims, SubjectIds } from '../../core/claims.ts'
import { looksLikeJws, MAX_JWT_BYTES } from '../../core/jws.ts'
import type { MintedEvent } from '../../core/mint_event.ts'
import { subjectOf } from '../../core/organization.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { entitle } from '../documents/entitle.ts'
import { lookupAtLeast, newestVersion } from '../documents/min_version.ts'
import type { DocumentStore, Documents } from '../documents/store.ts'
import { expose } from '../http/cors.ts'
import { replaceMembers } from '../http/json_text.ts'
import { accessTokensIn } from '../http/token_search.ts'
import { type LogLine, warn } from '../log.ts'
import type { Keyring } from '../signing_keys/keyring.ts'
import { mayBeUpstreams } from '../signing_keys/recognize.ts'
import type { UpstreamKeys } from '../signing_keys/upstream_keys.ts'
import { mint, mintIdToken } from './mint.ts'
import { mintedEvent } from './minted_event.ts'
import { respond, serverTiming } from './respond.ts'
import type { AnswerHead, UpstreamTokens } from './upstream.ts'
import { type VerifyReason, verifyAccessToken, verifyIdToken } from './verify.ts'

export interface MintContext {
  readonly config: Config
  readonly keyring: Keyring
  readonly keys: UpstreamKeys
  readonly documents: DocumentStore
  /** Sends an event to the mint log, if there is one. @returns a warning for the log line */
  readonly record: ((event: MintedEvent) => string | undefined) | undefined
  readonly clock: () => number
}

export type ReplaceReason = VerifyReason | 'access_token_misplaced'

/** What the client requested. */
export interface Wanted {
  /** The minimum version of the entitlements, if the client sent one. */
  readonly minVersion?: number | undefined
  /** The kind of token that a token exchange was to return (RFC 8693 section 2.1). */
  readonly tokenType?: unknown
}

/** A JWT above this no longer fits beside others into a header or a cookie. */
const LARGE_JWT_BYTES = 2048

/** @param log - filled in on the way */
export async function replaceTokens(
  context: MintContext,
  head: AnswerHead,
  tokens: UpstreamTokens,
  wanted: Wanted,
  log: LogLine,
): Promise<Result<Response, ReplaceReason>> {
  const { config, clock } = context
  if (await holdsAnother(context, tokens)) {
    log.access_token = 'withheld'
    return err('access_token_misplaced')
  }
  if (!looksLikeJws(tokens.accessToken)) {
    log.access_token = 'opaque'
    const idToken = await replaceIdToken(context, tokens, tokens.accessToken, log)
    const expiresIn = remainingSeconds(tokens, clock())
    return ok(respond(head, tokens, { idToken, expiresIn }, serverTiming(log), config))
  }

  const verified = await verifyAccessToken(
    tokens.accessToken,
    context,
    clock(),
    tokens.labelledAs !== undefined,
  )
  if (!verified.ok && isWantedOther(verified.reason, tokens, wanted)) {
    log.access_token = 'other'
    return ok(respond(head, tokens, {}, serverTiming(log), config))
  }
  if (!verified.ok) {
    log.access_token = 'withheld'
    return verified
  }
  const { startedAt, ...minted } = await mintAccessToken(
    context,
    verified.value,
    tokens.receivedAt,
    wanted.minVersion,
    log,
  )
  const idToken = await replaceIdToken(context, tokens, minted.accessToken, log, verified.value.claims)
  log.mint_ms = clock() - startedAt
  const response = respond(head, tokens, { ...minted, idToken }, serverTiming(log), config)
  if (minted.version !== undefined) {
    response.headers.set('remint-version', String(minted.version))
    expose(response.headers, 'remint-version')
  }
  return ok(response)
}

/** Whether an access token of upstream's is elsewhere than in the members that are replaced. */
async function holdsAnother({ config, keyring, keys }: MintContext, { body }: UpstreamTokens) {
  // Almost every answer has one such name and no escape that could hide another.
  const names = body.text.match(/access[_-]?token|\\u/gi) ?? []
  if (names.length < 2) return false
  const theirs = await keys.current()
  const keyIds = theirs.ok ? theirs.value : { has: () => false }
  const others = replaceMembers(body, new Map([['access_token', '']]))
  return accessTokensIn(others).some((token) => mayBeUpstreams(token, config, keyring, keyIds))
}

/**
 * Whether `access_token` holds what the client requested, and that is not an access token. A token with an HMAC cannot be
 * verified with a key set.
 */
function isWantedOther(
  reason: VerifyReason,
  { accessToken, labelledAs }: UpstreamTokens,
  { tokenType }: Wanted,
): boolean {
  if (labelledAs === undefined || labelledAs !== tokenType) return false
  if (reason === 'algorithm_refused') return decodeProtectedHeader(accessToken).alg?.startsWith('HS') ?? false
  return reason === 'not_an_access_token' || reason === 'type_refused'
}

interface Minted {
  readonly accessToken: string
  readonly expiresIn: number
  /** Epoch seconds. */
  readonly exp: number
  readonly version: number | undefined
  /** Epoch milliseconds. */
  readonly startedAt: number
}

async function mintAccessToken(
  context: MintContext,
  verified: Parameters<typeof mint>[0],
  receivedAt: number,
  minVersion: number | undefined,
  log: LogLine,
): Promise<Minted> {
  const { config, keyring, clock, record } = context
  const lookedUpAt = clock()
  const subject = subjectOf(verified.claims, config.orgClaim)
  // An unreadable organization deserves a warning: everybody in it has too little.
  if (subject.unreadable) warn(log, 'org_unreadable')
  const documents = await lookUp(context, subject, minVersion, log)
  const version = minVersion === undefined ? undefined : newestVersion(documents)
  if (minVersion !== undefined && (version ?? 0) < minVersion) warn(log, 'min_version_not_reached')
  const now = clock()
  log.lookup_ms = now - lookedUpAt

  const entitlements = entitle(documents, subject, config.environment, now)
  const minted = await mint(verified, entitlements, keyring.active, config, now, receivedAt)
  log.access_token = 'minted'
  log.jti = minted.jti
  log.kid = keyring.active.kid
  log.src = entitlements.meta.src
  log.ver = entitlements.meta.ver
  log.flags = entitlements.flags.length
  // A token larger than the second limit is refused by every verifier here.
  if (minted.jwt.length > MAX_JWT_BYTES) warn(log, 'access_token_over_16_kib')
  else if (minted.jwt.length > LARGE_JWT_BYTES) warn(log, 'access_token_over_2_kib')
  if (record) {
    const warning = record(mintedEvent(verified.claims, subject, entitlements, minted, log.request_id, now))
    if (warning) warn(log, warning)
  }
  const expiresIn = minted.exp - Math.floor(now / 1000)
  return { startedAt: now, accessToken: minted.jwt, expiresIn, exp: minted.exp, version }
}

function lookUp(
  context: MintContext,
  subject: SubjectIds,
  minVersion: number | undefined,
  log: LogLine,
): Promise<Documents> {
  const { documents } = context
  const onFault = (fault: string, kind: string) => warn(log, `${fault} ${kind}`)
  return minVersion === undefined
    ? documents.lookup(subject, onFault)
    : lookupAtLeast(minVersion, documents, subject, onFault, context)
}

/** An ID token that cannot be verified is not changed: the client refuses it, and it holds nothing of the gateway's. */
async function replaceIdToken(
  context: MintContext,
  { idToken, accessToken: upstreamAccessToken }: UpstreamTokens,
  accessToken: string,
  log: LogLine,
  session: Claims = {},
): Promise<string | undefined> {
  if (idToken === undefined) return undefined
  const now = context.clock()
  const verified = await verifyIdToken(idToken, context, now)
  if (!verified.ok) {
    log.id_token = verified.reason
    return undefined
  }
  const replaced = accessToken !== upstreamAccessToken
  const key = context.keyring.signerLike(verified.value.alg)
  return mintIdToken(verified.value, accessToken, replaced, key, context.config, now, session)
}

/** The remaining life of an opaque token; `undefined` if upstream's own figure still holds. */
function remainingSeconds({ body, receivedAt }: UpstreamTokens, now: number): number | undefined {
  const { expires_in: lifetime } = body.object
  const age = Math.floor((now - receivedAt) / 1000)
  return typeof lifetime === 'number' && age > 0 ? Math.max(0, lifetime - age) : undefined
}
