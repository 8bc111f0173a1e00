/**
 * Upstream's discovery document, rewritten for clients of the gateway. Pure.
 *
 * Members that would lead a client past the gateway, or promise something that cannot work through it, are removed: a shorter
 * document is better than a client that fails later.
 */
import type { Claims } from '../../core/claims.ts'
import { type Config, preservesIssuer } from '../config.ts'
import type { Endpoints } from '../profiles/profile.ts'
import type { Keyring } from '../signing_keys/keyring.ts'

/** Signed by upstream over its own addresses, its keys alone, or used with a client certificate, which ends at the edge. */
const NEVER_TRUE = [
  'signed_metadata',
  'jwks',
  'signed_jwks_uri',
  'mtls_endpoint_aliases',
  'tls_client_certificate_bound_access_tokens',
] as const

/**
 * What upstream signs or encrypts in its own name and returns outside the token endpoint, and what a client signs for an
 * issuer other than upstream's (request objects name it as their audience, RFC 9101 section 4).
 */
const NOT_TRUE_FOR_ANOTHER_ISSUER =
  /^((authorization|userinfo|introspection)_(signing|encryption)_|id_token_encryption_|request_object_|request_(uri_)?parameter_|require_(request_uri_registration|signed_request_object)$|(back|front)channel_logout_|backchannel_authentication_request_signing_)/

const AUTH_METHODS = /_endpoint_auth_methods_supported$/
const AUTH_ALGORITHMS = /_endpoint_auth_signing_alg_values_supported$/
/** A certificate ends at the edge. */
const CERTIFICATE_METHODS = /^(self_signed_)?tls_client_auth$/
/** An assertion names the issuer, or its token endpoint, as its audience (RFC 7523 section 3). */
const ASSERTION_METHODS = /^(client_secret|private_key)_jwt$/

/** Endpoints that are the gateway's own wherever upstream has them: they take tokens or hints that it made. */
const OWN_ENDPOINTS = {
  token_endpoint: 'token',
  authorization_endpoint: 'authorization',
  end_session_endpoint: 'endSession',
  revocation_endpoint: 'revocation',
  pushed_authorization_request_endpoint: 'pushedAuthorization',
  backchannel_authentication_endpoint: 'backchannelAuthentication',
} as const

/** @see OpenID Connect Discovery 1.0 section 3; RFC 8414 section 2 */
export function rewriteMetadata(
  metadata: Claims,
  endpoints: Endpoints,
  config: Config,
  keyring: Keyring,
): Record<string, unknown> {
  const preserved = preservesIssuer(config)
  const rewritten: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(metadata)) {
    if (!preserved && NOT_TRUE_FOR_ANOTHER_ISSUER.test(name)) continue
    if (!preserved && AUTH_ALGORITHMS.test(name)) continue
    if (AUTH_METHODS.test(name))
      rewritten[name] = strings(value).filter((method) => isPossible(method, preserved))
    else rewritten[name] = isAddress(name, value) ? publicAddress(value, config) : value
  }
  for (const name of NEVER_TRUE) delete rewritten[name]

  rewritten.issuer = config.tokenIssuer
  for (const [name, endpoint] of Object.entries(OWN_ENDPOINTS)) {
    const own = endpoints[endpoint]
    if (own) rewritten[name] = config.issuer + own.path + new URL(own.url).search
  }
  rewritten.jwks_uri = `${config.issuer}/.well-known/jwks.json`
  rewritten.id_token_signing_alg_values_supported = idTokenAlgorithms(metadata, config, keyring)
  if (config.verifiers.length > 0) {
    rewritten.introspection_endpoint = `${config.issuer}/introspect`
    rewritten.introspection_endpoint_auth_methods_supported = ['client_secret_basic', 'client_secret_post']
    delete rewritten.introspection_endpoint_auth_signing_alg_values_supported
  }
  // An access token in a redirect or a form never passes the token endpoint.
  keep(rewritten, 'response_types_supported', (type) => !/\btoken\b/.test(type.replace(/\bid_token\b/g, '')))
  keep(rewritten, 'grant_types_supported', (type) => type !== 'implicit')
  // Nor does one that upstream pushes to its client (CIBA section 10.3.1).
  keep(rewritten, 'backchannel_token_delivery_modes_supported', (mode) => mode !== 'push')
  // Upstream responds itself, in its own name (RFC 9207).
  if (endpoints.authorization?.isElsewhere) delete rewritten.authorization_response_iss_parameter_supported
  if (!preserved) {
    keep(rewritten, 'response_types_supported', (type) => !/\bid_token\b/.test(type))
    keep(rewritten, 'response_modes_supported', (mode) => !/form_post|jwt/.test(mode))
    // Left out it would mean that it is supported (OpenID Connect Discovery section 3).
    rewritten.request_uri_parameter_supported = false
  }
  return rewritten
}

/** The algorithms of ID tokens that a client can receive, now and after the next promotion. */
function idTokenAlgorithms(metadata: Claims, { upstream, ...config }: Config, keyring: Keyring): string[] {
  const theirs = strings(metadata.id_token_signing_alg_values_supported)
  const resigned = theirs.filter((alg) => upstream.algorithms.includes(alg))
  const ours = resigned.map((alg) => keyring.signerLike(alg).alg)
  // An authorization server whose document names none may still issue some.
  const seen = ours.length > 0 ? ours : [keyring.active.alg]
  const kept = preservesIssuer({ ...config, upstream }) ? theirs : []
  return [...new Set([...seen, ...keyring.nextAlgorithms, ...kept])]
}

const isPossible = (method: string, preserved: boolean): boolean =>
  !CERTIFICATE_METHODS.test(method) && (preserved || !ASSERTION_METHODS.test(method))

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
