/**
 * The published key set: the gateway's own keys, marked as such, and upstream's too if both share one issuer.
 */
import type { JWK } from 'jose'
import { markOwnKey } from '../../core/own_keys.ts'
import { ok, type Result } from '../../core/result.ts'
import { type Config, preservesIssuer } from '../config.ts'
import type { Keyring } from './keyring.ts'
import type { KeysFault, UpstreamKeys } from './upstream_keys.ts'

/** How long verifiers may cache the set. The key tool waits at least this long between publishing and signing. */
export const JWKS_MAX_AGE_SECONDS = 300

/** The gateway's own keys alone. They are published whatever upstream's state is. */
export const ownKeys = ({ environment }: Config, keyring: Keyring): { keys: readonly JWK[] } => ({
  keys: keyring.published.map((jwk) => markOwnKey(jwk, environment)),
})

/** A set without upstream's keys would make valid tokens look forged, so it is not returned at all. */
export async function publishedKeys(
  config: Config,
  keyring: Keyring,
  keys: UpstreamKeys,
): Promise<Result<{ keys: readonly JWK[] }, KeysFault>> {
  const own = ownKeys(config, keyring)
  if (!preservesIssuer(config)) return ok(own)
  const upstream = await keys.current()
  if (!upstream.ok) return upstream
  return ok({ keys: [...own.keys, ...upstream.value.published] })
}
