/**
 * The state of one isolate: configuration, keys, and the caches of KV and upstream. Built once per environment object, with
 * all problems reported at once.
 */
import { type Config, type GatewayBindings, parseConfig } from './config.ts'
import { EntitlementsNow, notBeforeOf } from './documents/current.ts'
import { Denylist } from './documents/denylist.ts'
import { DocumentStore } from './documents/store.ts'
import { MintLog } from './mint_log/mint_log.ts'
import { direct, type SendTokenRequest } from './pipeline/upstream.ts'
import { oidcProfile } from './profiles/oidc.ts'
import type { Profile } from './profiles/profile.ts'
import { workosProfile } from './profiles/workos.ts'
import { coalesced } from './sessions/coalesce.ts'
import { importPepper } from './sessions/name.ts'
import { type Keyring, loadKeyring } from './signing_keys/keyring.ts'
import { type UpstreamKeys, upstreamKeys } from './signing_keys/upstream_keys.ts'
import { Identities } from './verification/identity.ts'
import type { ReadCurrent } from './verification/verdict.ts'

export interface Gateway {
  readonly config: Config
  readonly keyring: Keyring
  readonly profile: Profile
  readonly keys: UpstreamKeys
  readonly documents: DocumentStore
  readonly identities: Identities
  readonly current: ReadCurrent
  readonly denylist: Denylist
  readonly send: SendTokenRequest
  /** `undefined` without a queue. */
  readonly mintLog: MintLog | undefined
  readonly fetcher: typeof fetch
  readonly clock: () => number
}

export type GatewayResult =
  | { readonly ok: true; readonly gateway: Gateway }
  | { readonly ok: false; readonly problems: readonly string[] }

const PROFILES = { oidc: oidcProfile, workos: workosProfile }

export async function openGateway(
  bindings: GatewayBindings,
  fetcher: typeof fetch,
  clock: () => number,
): Promise<GatewayResult> {
  const parsed = parseConfig(bindings)
  const signingKeys: unknown = bindings.SIGNING_KEYS
  const loaded = typeof signingKeys === 'string' ? await loadKeyring(signingKeys) : undefined
  if (!parsed.ok || !loaded?.ok) {
    return {
      ok: false,
      problems: [...(parsed.ok ? [] : parsed.problems), ...(loaded?.ok ? [] : (loaded?.problems ?? []))],
    }
  }
  const { config } = parsed
  const { keyring } = loaded
  const profile = PROFILES[config.upstream.profile](config, fetcher, clock)
  const jwksUri = async () => {
    const endpoints = await profile.endpoints()
    return endpoints.ok ? endpoints.value.jwks.url : undefined
  }
  const documents = new DocumentStore({
    kv: bindings.ENTITLEMENTS,
    environment: config.environment,
    staleMaxSeconds: config.staleMaxSeconds,
    clock,
  })
  return {
    ok: true,
    gateway: {
      config,
      keyring,
      profile,
      keys: upstreamKeys(jwksUri, config, keyring, fetcher, clock),
      documents,
      identities: new Identities(config, keyring),
      current: readCurrent(documents, config, clock),
      denylist: new Denylist(bindings.ENTITLEMENTS, documents.revocations, config, clock),
      send: await senderOf(bindings, config, profile, fetcher, clock),
      mintLog: bindings.MINT_LOG && new MintLog(bindings.MINT_LOG, config.environment, clock),
      fetcher,
      clock,
    },
  }
}

/** The current state for `live` verification, from the documents of the pipeline: one cache, one read for everything. */
function readCurrent(documents: DocumentStore, { environment }: Config, clock: () => number): ReadCurrent {
  const now = new EntitlementsNow(environment)
  return async (ids, session, warn) => {
    const found = await documents.lookup(ids, (fault, kind) => warn(`${fault} ${kind}`), session)
    return {
      entitlements: now.of(found, ids, clock()),
      notBefore: notBeforeOf(found),
      revoked: session ? found.revoked : false,
    }
  }
}

async function senderOf(
  { REFRESH_SESSIONS: sessions, SESSION_PEPPER }: GatewayBindings,
  config: Config,
  profile: Profile,
  fetcher: typeof fetch,
  clock: () => number,
): Promise<SendTokenRequest> {
  const directly = direct(config.upstream.timeoutMs, fetcher, clock)
  if (!sessions || !SESSION_PEPPER) return directly
  const pepper = await importPepper(SESSION_PEPPER)
  return coalesced({ sessions, pepper, config, profile, direct: directly, clock })
}
