/**
 * Upstream's discovery document, rewritten to what a client of the gateway will meet. Pure.
 *
 * What would lead a client past the gateway, or promise it an answer that the gateway cannot make true, is taken out:
 * a document that says less is better than a client that fails later.
 */
import type { Claims } from '../../core/claims.ts'
import { type Config, preservesIssuer } from '../config.ts'
import type { Endpoints } from '../profiles/profile.ts'
import type { Keyring } from '../signing_keys/keyring.ts'

/** Signed by upstream over its own addresses, or reached by a client certificate, which ends at the edge. */
const NEVER_TRUE = ['signed_metadata', 'mtls_endpoint_aliases']

/** What upstream signs or encrypts in its own name and hands to the client past the token endpoint. */
const NOT_TRUE_FOR_ANOTHER_ISSUER = [
  'authorization_encryption_alg_values_supported',
  'authorization_encryption_enc_values_supported',
  'authorization_signing_alg_values_supported',
  'id_token_encryption_alg_values_supported',
  'id_token_encryption_enc_values_supported',
  'userinfo_encryption_alg_values_supported',
  'userinfo_encryption_enc_values_supported',
  'userinfo_signing_alg_values_supported',
]

/** @see OpenID Connect Discovery 1.0 section 3; RFC 8414 section 2 */
export function rewriteMetadata(
  metadata: Claims,
  endpoints: Endpoints,
  config: Config,
  keyring: Keyring,
): Record<string, unknown> {
  const preserved = preservesIssuer(config)
  const dropped = preserved ? NEVER_TRUE : [...NEVER_TRUE, ...NOT_TRUE_FOR_ANOTHER_ISSUER]
  const rewritten: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(metadata)) {
    if (!dropped.includes(name))
      rewritten[name] = isAddress(name, value) ? publicAddress(value, config) : value
  }

  rewritten.issuer = config.tokenIssuer
  rewritten.token_endpoint = config.issuer + endpoints.token.path + new URL(endpoints.token.url).search
  rewritten.jwks_uri = `${config.issuer}/.well-known/jwks.json`
  rewritten.id_token_signing_alg_values_supported = preserved
    ? [...new Set([...keyring.algorithms, ...strings(metadata.id_token_signing_alg_values_supported)])]
    : keyring.algorithms
  if (config.verifiers.length > 0) {
    rewritten.introspection_endpoint = `${config.issuer}/introspect`
    rewritten.introspection_endpoint_auth_methods_supported = ['client_secret_basic', 'client_secret_post']
    delete rewritten.introspection_endpoint_auth_signing_alg_values_supported
  }
  if (!preserved) {
    // A token in a redirect or a form never passes the token endpoint, and would name another issuer.
    keep(rewritten, 'response_types_supported', (type) => !/\btoken\b|\bid_token\b/.test(type))
    keep(rewritten, 'response_modes_supported', (mode) => !/form_post|jwt/.test(mode))
  }
  return rewritten
}

const isAddress = (name: string, value: unknown): value is string =>
  typeof value === 'string' &&
  (name.endsWith('_endpoint') || name.endsWith('_uri') || name.endsWith('_iframe'))

function publicAddress(value: string, config: Config): string {
  const names = [config.upstream.origin, new URL(config.upstream.issuer).origin]
  if (!URL.canParse(value)) return value
  const { origin, pathname, search } = new URL(value)
  return names.includes(origin) ? config.issuer + pathname + search : value
}

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []

function keep(metadata: Record<string, unknown>, name: string, holds: (value: string) => boolean): void {
  if (metadata[name] !== undefined) metadata[name] = strings(metadata[name]).filter(holds)
}
