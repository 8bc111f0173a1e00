/**
 * Any OpenID Connect provider or OAuth 2 authorization server, found by its discovery document.
 *
 * The document is asked for at the origin that requests are sent to. An upstream that knows itself by the gateway's
 * public address names endpoints there; they are reached at the same origin all the same, never through ourselves.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { type Config, isSecureUrl } from '../config.ts'
import { discoveryPaths } from '../http/paths.ts'
import { fetchJson, RemoteDocument } from '../http/remote_document.ts'
import type { Endpoint, Endpoints, MetadataFault, Profile } from './profile.ts'

interface Discovered {
  readonly metadata: Readonly<Record<string, unknown>>
  readonly endpoints: Endpoints
}

export function oidcProfile(config: Config, fetcher: typeof fetch, clock: () => number): Profile {
  const locations = discoveryPaths(config.upstream.issuer).map((path) => config.upstream.origin + path)
  const discovered = new RemoteDocument<Discovered, MetadataFault>(async () => {
    for (const location of locations) {
      const fetched = await fetchJson(location, fetcher)
      if (fetched.ok) return readMetadata(fetched.value, config)
    }
    return err('metadata_unreachable')
  }, clock)

  return {
    // RFC 6749 has a form only; some providers take JSON too, and say no themselves where they do not.
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
  }
}

/** The endpoints of a discovery document that speaks for the configured issuer (RFC 8414 section 3.3). */
function readMetadata(metadata: Record<string, unknown>, config: Config): Result<Discovered, MetadataFault> {
  if (metadata.issuer !== config.upstream.issuer) return err('metadata_issuer_mismatch')
  const endpoint = (name: string): Endpoint | undefined => {
    const value = metadata[name]
    return typeof value === 'string' && isSecureUrl(value) ? reachable(new URL(value), config) : undefined
  }
  const token = endpoint('token_endpoint')
  const jwks = endpoint('jwks_uri')
  if (!token || !jwks) return err('metadata_incomplete')
  const endpoints: Endpoints = {
    token,
    jwks,
    authorization: endpoint('authorization_endpoint'),
    endSession: endpoint('end_session_endpoint'),
    revocation: endpoint('revocation_endpoint'),
    pushedAuthorization: endpoint('pushed_authorization_request_endpoint'),
    backchannelAuthentication: endpoint('backchannel_authentication_endpoint'),
  }
  return ok({ metadata, endpoints })
}

/** Where an endpoint is called: upstream's public names and our own all mean the origin that requests are sent to. */
function reachable({ origin, pathname, search, href }: URL, config: Config): Endpoint {
  const names = [config.upstream.origin, config.issuer, new URL(config.upstream.issuer).origin]
  return names.includes(origin)
    ? { url: config.upstream.origin + pathname + search, path: pathname }
    : { url: href, path: pathname, isElsewhere: true }
}
