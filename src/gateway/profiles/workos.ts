/**
 * WorkOS AuthKit: fixed paths under one origin, JSON requests, keys by client id.
 *
 * The same path serves every grant. Form bodies are accepted too, because WorkOS accepts them and some SDKs send them.
 */
import { err, ok } from '../../core/result.ts'
import type { Config } from '../config.ts'
import { documentHeaders } from '../http/headers.ts'
import { fetchJson, RemoteDocument } from '../http/remote_document.ts'
import type { Endpoint, Endpoints, MetadataFault, Profile } from './profile.ts'

export function workosProfile(config: Config, fetcher: typeof fetch, clock: () => number): Profile {
  const { origin, clientIds } = config.upstream
  const [clientId] = clientIds
  const discoveryPath = `/user_management/${clientId}/.well-known/openid-configuration`
  const location = origin + discoveryPath
  const endpoint = (path: string): Endpoint => ({ url: origin + path, path })
  const endpoints: Endpoints = {
    token: endpoint('/user_management/authenticate'),
    jwks: endpoint(`/sso/jwks/${clientId}`),
    endSession: endpoint('/user_management/sessions/logout'),
    sessionRevocation: endpoint('/user_management/sessions/revoke'),
    session: { parameter: 'session_id', form: /^session_\w+$/ },
  }
  const discovery = new RemoteDocument<Record<string, unknown>, MetadataFault>(async () => {
    const fetched = await fetchJson(location, fetcher, documentHeaders(location, config))
    return fetched.ok ? fetched : err('metadata_unreachable')
  }, clock)

  return {
    bodyFormats: ['json', 'form'],
    discoveryPath,
    replaysRefresh: true,
    endpoints: async () => ok(endpoints),
    metadata: () => discovery.current(),
    // Endpoints and key set are known without it.
    problem: () => undefined,
  }
}
