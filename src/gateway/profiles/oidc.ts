/**
 * Any OpenID Connect provider or OAuth 2 authorization server, found by its discovery document.
 *
 * The document is fetched from the origin that requests are sent to. An upstream that is configured with the gateway's
 * public address names endpoints there; they are still called at upstream's origin, never through the gateway itself.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { isSecureUrl } from '../../core/secure_url.ts'
import type { Config } from '../config.ts'
import { documentHeaders } from '../http/headers.ts'
import { discoveryPaths } from '../http/paths.ts'
import { fetchJson, RemoteDocument } from '../http/remote_document.ts'
import type { Endpoint, Endpoints, MetadataFault, Profile } from './profile.ts'

/** The length of quoted text in `/healthz`. */
const MAX_ISSUER_LENGTH = 200

interface Discovered {
  readonly metadata: Readonly<Record<string, unknown>>
  readonly endpoints: Endpoints
}

export function oidcProfile(config: Config, fetcher: typeof fetch, clock: () => number): Profile {
  const locations = discoveryPaths(config.upstream.issuer).map((path) => config.upstream.origin + path)
  let found: { readonly location: string; readonly issuer: unknown } | undefined
  const discovered = new RemoteDocument<Discovered, MetadataFault>(async () => {
    for (const location of locations) {
      const fetched = await fetchJson(location, fetcher, documentHeaders(location, config))
      if (!fetched.ok) continue
      found = { location, issuer: fetched.value.issuer }
      return readMetadata(fetched.value, config)
    }
    return err('metadata_unreachable')
  }, clock)

  return {
    // RFC 6749 knows only forms; some providers take JSON too, and others refuse it themselves.
    bodyFormats: ['form', 'json'],
    discoveryPath: undefined,
    replaysRefresh: false,
    async endpoints() {
      const current = await discovered.current()
      return current.ok ? ok(current.value.endpoints) : current
    },
    async metadata() {
      const current = await discovered.current()
      return current.ok ? ok(current.value.metadata) : current
    },
    problem() {
      const { fault } = discovered
      return fault && problemText(fault, found?.location ?? locations.join(' and '), found?.issuer, config)
    },
  }
}

/** Everything in it is public: addresses, and members of the document. */
function problemText(fault: MetadataFault, location: string, issuer: unknown, { upstream }: Config): string {
  switch (fault) {
    case 'metadata_unreachable':
      return `UPSTREAM_ORIGIN: there is no JSON document at ${location}. Check the address, and that the provider answers there`
    case 'metadata_incomplete':
      return `UPSTREAM_ISSUER: the document at ${location} has no token_endpoint or no jwks_uri that is an https URL`
    case 'metadata_issuer_mismatch': {
      const named = JSON.stringify(issuer)?.slice(0, MAX_ISSUER_LENGTH)
      const advice = /[{}]/.test(named ?? '')
        ? 'That is a template for many tenants: use the address of one'
        : 'Set UPSTREAM_ISSUER to exactly that, a trailing slash included'
      return `UPSTREAM_ISSUER: the document at ${location} names the issuer ${named}, not ${upstream.issuers.join(' or ')}. ${advice}`
    }
  }
}

/** The endpoints of a discovery document that speaks for the configured issuer (RFC 8414 section 3.3). */
function readMetadata(metadata: Record<string, unknown>, config: Config): Result<Discovered, MetadataFault> {
  if (!config.upstream.issuers.includes(metadata.issuer as string)) return err('metadata_issuer_mismatch')
  const endpoint = (name: string, features: Partial<Endpoint> = {}): Endpoint | undefined => {
    const value = metadata[name]
    if (typeof value !== 'string' || !isSecureUrl(value)) return undefined
    return { ...reachable(new URL(value), config), ...features }
  }
  const takesClaims = metadata.claims_parameter_supported === true
  const token = endpoint('token_endpoint')
  const jwks = endpoint('jwks_uri')
  if (!token || !jwks) return err('metadata_incomplete')
  const endpoints: Endpoints = {
    token,
    jwks,
    authorization: endpoint('authorization_endpoint', { isForBrowsers: true, takesClaims }),
    endSession: endpoint('end_session_endpoint', { isForBrowsers: true }),
    revocation: endpoint('revocation_endpoint'),
    pushedAuthorization: endpoint('pushed_authorization_request_endpoint', { takesClaims }),
    backchannelAuthentication: endpoint('backchannel_authentication_endpoint'),
  }
  return ok({ metadata, endpoints })
}

/** Where an endpoint is called: upstream's public names and the gateway's all mean the origin that requests are sent to. */
function reachable({ origin, pathname, search, href }: URL, config: Config): Endpoint {
  const names = [config.upstream.origin, config.issuer, new URL(config.upstream.issuer).origin]
  return names.includes(origin)
    ? { url: config.upstream.origin + pathname + search, path: pathname }
    : { url: href, path: pathname, isElsewhere: true }
}
