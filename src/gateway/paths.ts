/**
 * Which paths are intercepted. Pure.
 */
import type { Config } from './config.ts'

/**
 * Whether upstream might take one path for the other. Servers differ in what they make of case, escapes, backslashes,
 * parameters, dots, doubled and trailing slashes; a token request in such a spelling must not slip past the pipeline.
 */
export const isSamePath = (path: string, endpoint: string): boolean =>
  path === endpoint || canonical(path) === canonical(endpoint)

function canonical(path: string): string {
  let decoded = path
  try {
    decoded = decodeURIComponent(path)
  } catch {
    // Not an escape after all.
  }
  const segments: string[] = []
  for (const segment of decoded.toLowerCase().split(/[/\\]/)) {
    const name = segment.replace(/;.*/s, '')
    if (name === '..') segments.pop()
    else if (name !== '' && name !== '.') segments.push(name)
  }
  return segments.join('/')
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
