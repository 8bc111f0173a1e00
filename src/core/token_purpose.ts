/**
 * What a token is for, by its own claims: the one list for the gateway, the guard and the control plane. Pure.
 *
 * RFC 9068 has the header say `at+jwt`. Many identity providers say `JWT` or nothing there and mark the kind among the
 * claims, each in its own way. A token that says anything but "access token" is refused everywhere. What a silent one
 * counts as depends on where it was found, because its place can be evidence too.
 *
 * Call it with verified claims only: it believes what the token says.
 */
import type { Claims } from './claims.ts'

/**
 * Where a token was found.
 *
 * - `token_response`: in the member `access_token` of a token endpoint's answer, where only the authorization server can
 *   have put it (RFC 6749 section 5.1). Not where `issued_token_type` says that the member holds something else.
 * - `presented`: brought by a caller, who may have any other token of the same issuer as well.
 * - `minted`: presented as one of the gateway's own, which always state their type.
 */
export type TokenPlace = 'token_response' | 'presented' | 'minted'

export type PurposeFault = 'type_refused' | 'not_an_access_token'

/** RFC 9068 section 2.1. */
export const ACCESS_TOKEN_TYPE = 'at+jwt'

/** A `typ` that says nothing about the purpose (RFC 7519 section 5.1). */
const SILENT_TYPES: readonly (string | undefined)[] = [undefined, 'jwt']

/**
 * Claims that name the kind of a token: `typ` in Keycloak, `token_use` in Cognito. An unknown word in them
 * counts as another kind, unless the header says `at+jwt`.
 */
const KIND_CLAIMS = ['typ', 'token_use']

/** Claims that name the kind in some frameworks (Simple JWT, Flask-JWT-Extended, ForgeRock), and anything at all in others. */
const LOOSE_KIND_CLAIMS = ['token_type', 'type', 'tokenName']
const LOOSE_OTHER_WORDS = ['id', 'id_token', 'refresh', 'refresh_token', 'logout_token']

const ACCESS_WORDS = ['bearer', 'dpop', 'access', 'access_token', ACCESS_TOKEN_TYPE]
const SILENT_WORDS = ['jwt']
const OTHER_WORDS = [
  ...['id', 'id_token', 'idtoken', 'serialized-id', 'refresh', 'refresh_token', 'offline', 'offline_token'],
  ...['logout', 'logout_token', 'id+jwt', 'logout+jwt', 'refresh+jwt'],
]

/** Security event and logout tokens (RFC 8417), introspection answers (RFC 9701). */
const CLAIMS_OF_OTHERS = ['events', 'token_introspection']

/**
 * Claims that OpenID Connect defines for ID tokens. Some providers copy them into access tokens: Dex `at_hash`, authentik
 * the whole ID token, Keycloak before 25 `nonce`. So they count only against a silent token that a caller brought.
 */
const CLAIMS_OF_ID_TOKENS = [
  ...['nonce', 'at_hash', 'c_hash', 's_hash', 'ds_hash', 'sub_jwk'],
  ...['urn:openid:params:jwt:claim:rt_hash', 'urn:openid:params:jwt:claim:auth_req_id'],
]

/** The `typ` of a header in its one spelling: lower case, without `application/` (RFC 7515 section 4.1.9). */
export const mediaType = (typ: string | undefined): string | undefined =>
  typ?.toLowerCase().replace(/^application\//, '')

/** Whether the header's `typ`, as `mediaType` spells it, may be that of an access token found in this place. */
export const isAccessTokenType = (typ: string | undefined, place: TokenPlace): boolean =>
  typ === ACCESS_TOKEN_TYPE || (place !== 'minted' && SILENT_TYPES.includes(typ))

/**
 * What makes a token something other than an access token, or nothing.
 *
 * @param typ - of the header, as `mediaType` spells it
 */
export function accessTokenFault(
  typ: string | undefined,
  claims: Claims,
  place: TokenPlace,
): PurposeFault | undefined {
  if (!isAccessTokenType(typ, place)) return 'type_refused'
  const words = wordsOf(claims, KIND_CLAIMS)
  if (words.some((word) => OTHER_WORDS.includes(word))) return 'not_an_access_token'
  if (CLAIMS_OF_OTHERS.some((name) => isObject(claims[name]))) return 'not_an_access_token'
  if (typ === ACCESS_TOKEN_TYPE) return undefined

  const isKnown = (word: string) => ACCESS_WORDS.includes(word) || SILENT_WORDS.includes(word)
  if (!words.every(isKnown) || has(claims, CLAIMS_OF_OTHERS)) return 'not_an_access_token'
  const looseWords = wordsOf(claims, LOOSE_KIND_CLAIMS)
  if (looseWords.some((word) => LOOSE_OTHER_WORDS.includes(word))) return 'not_an_access_token'
  if (place === 'token_response' || words.some((word) => ACCESS_WORDS.includes(word))) return undefined
  return has(claims, CLAIMS_OF_ID_TOKENS) ? 'not_an_access_token' : undefined
}

/** The words in these claims; a value that is not a string counts as an unknown word. */
function wordsOf(claims: Claims, names: readonly string[]): readonly string[] {
  const values = names.map((name) => claims[name]).filter((value) => value !== undefined)
  return values.map((value) => (typeof value === 'string' ? value.toLowerCase() : ''))
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null

const has = (claims: Claims, names: readonly string[]): boolean =>
  names.some((name) => Object.hasOwn(claims, name))
