/**
 * Finds access tokens that are JWTs in upstream's responses and redirects, wherever they are. Pure.
 *
 * JSON is read member by member, so that no repeated name, no nesting and no escape hides one. In its strings and in other
 * text (addresses, forms, XML, a page that posts itself) it searches for the name followed by a JWT. A JWT may also hold one:
 * a secured authorization response (JARM section 2.1) has its parameters as claims.
 */
import { decodeJwt } from 'jose'
import { looksLikeJws } from '../../core/jws.ts'
import { valuesNamed } from './json_text.ts'

/** `access_token`, `accessToken`, `ACCESS-TOKEN`. */
const isAccessTokenName = (name: string): boolean => /^access[_-]?token$/i.test(name)

/** Where one can be at all. */
const CANDIDATE = /access[_-]?token|\\u|(?<![\w-])e[wy][\w-]+\.[\w-]+\./i
const JSON_STRING = /"(?:[^"\\]|\\.)*"/g
/** A JWT, which begins only where a word or an escape ends: otherwise a long word would be searched again and again. */
const JWT = '(?<=^|[^\\w-]|%[0-9a-f]{2})e[wy][\\w-]*\\.[\\w-]+\\.[\\w-]*'
const JWTS = new RegExp(JWT, 'gi')
/** A name, a little of markup but no other token's name, and a JWT. */
const NAMED_JWTS = new RegExp(`access[_-]?token(?:(?!(?:id|refresh)[_-]?token).){0,80}?(${JWT})`, 'gis')
/** More than this are not inspected one by one. */
const MAX_MATCHES = 100

/** Every JWT in or under a member of such a name, behind such a name in text, or in another JWT. */
export function accessTokensIn(text: string): string[] {
  if (!CANDIDATE.test(text)) return []
  return isJson(text) ? inJson(text) : inText(text)
}

function inJson(text: string): string[] {
  const members = valuesNamed(text, isAccessTokenName).flatMap(stringsOf).filter(looksLikeJws)
  const strings = stringsOf(text)
  return [...members, ...strings.flatMap(named), ...secured(strings)]
}

const stringsOf = (json: string): string[] =>
  (json.match(JSON_STRING) ?? []).map((literal) => JSON.parse(literal) as string)

const inText = (text: string): string[] => [...named(text), ...secured([text])]

const named = (text: string): string[] =>
  [...text.matchAll(NAMED_JWTS)].slice(0, MAX_MATCHES).map(([, token]) => token as string)

const secured = (texts: readonly string[]): string[] =>
  texts
    .flatMap((text) => text.match(JWTS) ?? [])
    .slice(0, MAX_MATCHES)
    .map((jwt) => claimOf(jwt, 'access_token') ?? '')
    .filter(looksLikeJws)

function claimOf(jwt: string, name: string): string | undefined {
  try {
    const claim = decodeJwt(jwt)[name]
    return typeof claim === 'string' ? claim : undefined
  } catch {
    return undefined
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The access token of a redirect, in the query or fragment, if it is a JWT. */
export const accessTokenOf = (location: string): string | undefined =>
  partsOf(location)
    .slice(1)
    .map(inPart)
    .find((token) => token !== undefined)

function inPart(part: string): string | undefined {
  for (const [name, value] of new URLSearchParams(part.slice(1)))
    if (isAccessTokenName(name) && looksLikeJws(value)) return value
  return inText(part)[0]
}

/** The address, and what follows it, each part with its `?` or `#`. Some applications have routes behind a `#`. */
const partsOf = (location: string): string[] => {
  const start = location.search(/[?#]/)
  return start === -1 ? [location] : [location.slice(0, start), ...location.slice(start).split(/(?=[?#])/)]
}

/**
 * The redirect with OAuth's error for an unsupported response type (RFC 6749 section 4.2.2.1): to the same address, with the
 * state, and without anything that was issued.
 */
export function refusedRedirect(location: string): string {
  const parts = partsOf(location)
  const at = parts.findIndex((part, index) => index > 0 && inPart(part) !== undefined)
  const part = parts[at] ?? '?'
  const given = new URLSearchParams(part.slice(1))
  const kept = new URLSearchParams({ error: 'unsupported_response_type' })
  for (const name of ['state', 'iss']) for (const value of given.getAll(name)) kept.append(name, value)
  const state = claimOf(given.get('response') ?? '', 'state')
  if (state !== undefined) kept.set('state', state)
  return parts.slice(0, Math.max(at, 1)).join('') + part.slice(0, 1) + kept.toString()
}
