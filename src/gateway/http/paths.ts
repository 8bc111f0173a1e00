/**
 * Which paths are intercepted. Pure.
 */
import type { Config } from '../config.ts'

/** Servers decode a path once, and some that stand behind others once more. */
const ESCAPE_LEVELS = 3

/**
 * Tells the paths that upstream might take for this one. Servers differ in what they make of case, escapes, backslashes,
 * parameters, dots, a `.json` at the end, doubled and trailing slashes; a token request in such a spelling must not slip
 * past the pipeline.
 */
export function pathMatcher(path: string): (endpoint: string) => boolean {
  let asked: string | undefined
  return (endpoint) => {
    if (path === endpoint) return true
    asked ??= canonical(path)
    return asked === canonical(endpoint)
  }
}

function canonical(path: string): string {
  const segments: string[] = []
  for (const segment of unescaped(path).toLowerCase().split(/[/\\]/)) {
    const name = segment.replace(/[?#;\0].*/s, '')
    if (name === '..') segments.pop()
    else if (/[^. ]/.test(name)) segments.push(name.replace(/[. ]+$/, ''))
  }
  return segments.join('/').replace(/\.json$/, '')
}

/** Decoded escape by escape, so that a broken one does not hide the others, and again where escapes were escaped. */
function unescaped(path: string): string {
  let decoded = path
  for (let level = 0; level < ESCAPE_LEVELS && decoded.includes('%'); level++) {
    decoded = decoded.replace(/%([0-7][0-9a-f])/gi, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 16)),
    )
  }
  return decoded
}

/**
 * Where clients look for the discovery document of an issuer: OpenID Connect Discovery section 4 appends to its path,
 * RFC 8414 section 3.1 inserts before it.
 */
export function discoveryPaths(issuer: string): string[] {
  const path = new URL(issuer).pathname.replace(/\/$/, '')
  return [`${path}/.well-known/openid-configuration`, `/.well-known/oauth-authorization-server${path}`]
}

/** Every path under which this gateway's own discovery document is found. */
export const ownDiscoveryPaths = (config: Config): string[] =>
  [config.issuer, config.tokenIssuer, config.upstream.issuer].flatMap(discoveryPaths)
