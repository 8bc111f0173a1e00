/**
 * A gateway under test: real code, real keys, upstream and KV in the test's hands, time told by the test.
 */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import { createGateway } from '../../../src/gateway/app.ts'
import type { EntitlementsKV, GatewayBindings } from '../../../src/gateway/config.ts'
import { AUDIENCE, makeSigner, UPSTREAM, Upstream } from './upstream.ts'

export const GATEWAY = 'https://auth.test'

export async function makeSigningKey(alg = 'ES256'): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(privateKey)
  return { ...jwk, alg, use: 'sig', kid: await calculateJwkThumbprint(jwk) }
}

/** A KV namespace in a `Map`, with faults on demand. */
export class TestKV implements EntitlementsKV {
  readonly values = new Map<string, string>()
  /** The keys of every read, in order. */
  readonly reads: string[][] = []
  fault: (() => Promise<never>) | undefined

  put(key: string, document: unknown): void {
    this.values.set(key, typeof document === 'string' ? document : JSON.stringify(document))
  }

  async get(keys: string[]): Promise<Map<string, string | null>> {
    this.reads.push(keys)
    if (this.fault) return this.fault()
    return new Map(keys.map((key) => [key, this.values.get(key) ?? null]))
  }
}

const PUBLISHED = { format: 1, published_at: '2026-01-01T00:00:00Z' }

export const catalog = (
  flags: Record<string, unknown>,
  plans: Record<string, string[]> = {},
  version = 87,
) => ({
  ...PUBLISHED,
  environment: 'production',
  version,
  flags,
  plans,
})

export const orgDocument = (members: Record<string, unknown> = {}, orgId = 'org_acme') => ({
  ...PUBLISHED,
  org_id: orgId,
  version: 12,
  contracts: [],
  grants: [],
  not_before: 0,
  ...members,
})

export const grant = (flag: string, members: Record<string, unknown> = {}) => ({
  id: `grant-${flag}`,
  flag,
  effect: 'allow',
  source: 'beta',
  from: '2026-01-01T00:00:00Z',
  to: null,
  ...members,
})

export interface Setup {
  readonly upstream: Upstream
  readonly kv: TestKV
  readonly bindings: GatewayBindings
  readonly signingKey: JWK
  /** Epoch milliseconds that the gateway is told; starts at the real time. */
  now: number
  request(path: string, init?: RequestInit): Promise<Response>
  /** A refresh with usual parameters. */
  refresh(init?: RequestInit): Promise<Response>
}

/** @param vars - in place of the usual ones; `undefined` leaves one out */
export async function setUp(vars: Record<string, string | undefined> = {}): Promise<Setup> {
  const [signer, signingKey] = await Promise.all([makeSigner(), makeSigningKey()])
  const upstream = new Upstream(signer)
  const kv = new TestKV()
  kv.put('catalog:production', catalog({ reports: { kind: 'entitlement', access: 'all' } }))
  const bindings = {
    ENTITLEMENTS: kv,
    ENVIRONMENT: 'production',
    ISSUER: GATEWAY,
    UPSTREAM_PROFILE: 'oidc',
    UPSTREAM_ORIGIN: UPSTREAM,
    UPSTREAM_ISSUER: UPSTREAM,
    UPSTREAM_AUDIENCE: AUDIENCE,
    SIGNING_KEYS: JSON.stringify({ keys: [signingKey] }),
    ...vars,
  } as GatewayBindings
  const setup: Setup = {
    upstream,
    kv,
    bindings,
    signingKey,
    now: Date.now(),
    async request(path, init) {
      return app.request(`${GATEWAY}${path}`, init, bindings)
    },
    refresh: (init) =>
      setup.request('/token', {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: 'grant_type=refresh_token&refresh_token=r1&client_id=app',
        ...init,
      }),
  }
  const app = createGateway({ fetch: upstream.fetch as typeof fetch, now: () => setup.now })
  return setup
}
