/**
 * Finds JWTs in upstream's responses, in or under any member named as an access token. Pure.
 *
 * JSON is read member by member, so that no repeated name, no nesting and no escape hides one. In other text (forms, XML, a
 * page that posts itself) it searches for the name followed by a JWT.
 */
import { looksLikeJws } from '../../core/jws.ts'
import { valuesNamed } from './json_text.ts'

/** `access_token`, `accessToken`, `ACCESS-TOKEN`. */
const isAccessTokenName = (name: string): boolean => /^access[_-]?token$/i.test(name)

const JSON_STRING = /"(?:[^"\\]|\\.)*"/g
/** A name, a little of markup, and a JWT. */
const IN_TEXT = /access[_-]?token.{0,80}?(eyJ[\w-]*\.[\w-]+\.[\w-]*)/gis
/** More than this are not inspected one by one. */
const MAX_MATCHES = 100

/** Every JWT in or under a member of such a name; of text that is not JSON, every one behind such a name. */
export function accessTokensIn(text: string): string[] {
  if (!/access[_-]?token|\\u/i.test(text)) return []
  return isJson(text) ? inJson(text) : inText(text)
}

function inJson(text: string): string[] {
  const strings = valuesNamed(text, isAccessTokenName).flatMap((value) => value.match(JSON_STRING) ?? [])
  return strings.map((literal) => JSON.parse(literal) as string).filter(looksLikeJws)
}

const inText = (text: string): string[] =>
  [...text.matchAll(IN_TEXT)].slice(0, MAX_MATCHES).map(([, token]) => token as string)

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The access token of a redirect, in the query or fragment, if it is a JWT. */
export function accessTokenOf(location: string): string | undefined {
  const [address = '', fragment = ''] = location.split('#', 2)
  const query = address.includes('?') ? address.slice(address.indexOf('?') + 1) : ''
  for (const parameters of [new URLSearchParams(fragment), new URLSearchParams(query)]) {
    for (const [name, value] of parameters) if (isAccessTokenName(name) && looksLikeJws(value)) return value
  }
  return undefined
}

/**
 * The redirect with OAuth's error for an unsupported response type (RFC 6749 section 4.2.2.1): to the same address, with the
 * state, and without anything that was issued.
 */
export function refusedRedirect(location: string): string {
  const [address = '', fragment] = location.split('#', 2)
  const [target, query] = address.split('?', 2)
  const refuse = (text: string): string => {
    const given = new URLSearchParams(text)
    const kept = new URLSearchParams({ error: 'unsupported_response_type' })
    for (const name of ['state', 'iss']) for (const value of given.getAll(name)) kept.append(name, value)
    return kept.toString()
  }
  const inFragment = fragment !== undefined && accessTokenOf(`#${fragment}`) !== undefined
  if (inFragment) return `${address}#${refuse(fragment)}`
  return `${target}?${refuse(query ?? '')}`
}
