/**
 * Which paths are intercepted. Pure.
 */
import type { Config } from '../config.ts'

/** Servers decode a path once, and some that are behind others once more. */
const ESCAPE_LEVELS = 3

/**
 * Finds the paths that upstream might treat as this one. Servers differ in how they treat case, escapes, backslashes,
 * parameters, dots, white space, an extension at the end, doubled and trailing slashes; a token request in such a spelling
 * must not slip past the pipeline.
 */
export function pathMatcher(path: string): (endpoint: string) => boolean {
  let canonical: string | undefined
  return (endpoint) => {
    if (path === endpoint) return true
    canonical ??= canonicalPath(path)
    return canonical === canonicalPath(endpoint)
  }
}

/** A path in the spelling that all of its spellings have in common, without slashes around it. */
export function canonicalPath(path: string): string {
  const segments: string[] = []
  for (const segment of unescaped(path).toLowerCase().split(/[/\\]/)) {
    const name = visible(segment.replace(/[?#;\0].*/s, ''))
    if (name === '..') segments.pop()
    else if (/[^.]/.test(name)) segments.push(withoutDots(name))
  }
  const last = segments.pop()
  return last === undefined ? '' : [...segments, last.replace(/^([^.]+)\..*$/s, '$1')].join('/')
}

/** Without white space and controls, which some servers trim. */
const visible = (name: string): string =>
  [...name].filter((character) => character > ' ' && character !== '\u007f').join('')

/** A loop, because a pattern would take quadratic time on a long row of dots. */
function withoutDots(name: string): string {
  let end = name.length
  while (name[end - 1] === '.') end--
  return name.slice(0, end)
}

/**
 * Decoded escape by escape, so that a broken one does not hide the others, and again where escapes were escaped. `%uXXXX` is
 * an old way of IIS, which also takes wide letters for plain ones.
 */
function unescaped(path: string): string {
  let decoded = path
  for (let level = 0; level < ESCAPE_LEVELS && decoded.includes('%'); level++) {
    decoded = decoded.replace(/%(?:u([0-9a-f]{4})|([0-7][0-9a-f]))/gi, (_, wide?: string, plain?: string) =>
      String.fromCharCode(Number.parseInt(wide ?? plain ?? '', 16)),
    )
  }
  return decoded === path ? path : decoded.normalize('NFKC')
}

const OPENID = '/.well-known/openid-configuration'
const OAUTH = '/.well-known/oauth-authorization-server'

/**
 * Where clients look for the discovery document of an issuer: OpenID Connect Discovery section 4 appends to its path, RFC
 * 8414 section 3.1 inserts before it.
 */
export function discoveryPaths(issuer: string): string[] {
  const path = pathOf(issuer)
  return [path + OPENID, OAUTH + path]
}

const pathOf = (issuer: string): string => new URL(issuer).pathname.replace(/\/$/, '')

/** The other way round some clients look too, and some providers answer (Okta, MCP clients). */
function everyDiscoveryPath(issuer: string): string[] {
  const path = pathOf(issuer)
  return [path + OPENID, OPENID + path, path + OAUTH, OAUTH + path]
}

/**
 * The meaning of a well-known path: the gateway's own discovery document, one that would lead clients past the gateway (of
 * another issuer of upstream, or of a protocol whose document names a token endpoint too), or neither.
 */
export function discoveryAt(
  canonical: string,
  config: Config,
  further: readonly string[],
): 'own' | 'leads_past' | undefined {
  if (!canonical.includes('.well-known/')) return undefined
  const issuers = [config.issuer, config.tokenIssuer, ...config.upstream.issuers]
  const own = [...issuers.flatMap(everyDiscoveryPath), ...further]
  if (own.some((path) => canonicalPath(path) === canonical)) return 'own'
  return LEADS_PAST.test(canonical) ? 'leads_past' : undefined
}

/**
 * User-Managed Access, SMART on FHIR, UDAP, OpenID Federation, credential issuance, protected resources (RFC 9728) and WebFinger
 * (OpenID Connect Discovery section 2) also name upstream's issuer, endpoints or keys.
 */
const LEADS_PAST =
  /(^|\/)\.well-known\/(openid-(configuration|credential-issuer|federation)|oauth-(authorization-server|protected-resource)|uma2?-configuration|smart-configuration|udap|webfinger|host-meta)(\/|$)/

/** The gateway's own names, which upstream has no paths under, in any spelling. */
const OWN_NAMES = /^(access\/v1|ofrep|remint)(\/|$)/

/**
 * Whether a path is the gateway's in a spelling that something on the way may have produced. Upstream must not see requests
 * to it: services send their keys.
 */
export function isMisspeltOwnPath(canonical: string, method: string, { verifiers }: Config): boolean {
  if (OWN_NAMES.test(canonical)) return true
  // Without verifiers, it is upstream's endpoint.
  const posts = verifiers.length > 0 ? ['verify', 'introspect'] : ['verify']
  return method === 'POST' && posts.includes(canonical)
}
