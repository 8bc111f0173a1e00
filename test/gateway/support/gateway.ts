/**
 * A gateway under test: real code, real keys, upstream and KV in the test's hands, time told by the test.
 */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  jwtVerify,
} from 'jose'
import { createGateway } from '../../../src/gateway/app.ts'
import {
  type Config,
  type EntitlementsKV,
  type GatewayBindings,
  parseConfig,
} from '../../../src/gateway/config.ts'
import { type Keyring, loadKeyring } from '../../../src/gateway/signing_keys/keyring.ts'
import { AUDIENCE, makeSigner, type Signer, UPSTREAM, Upstream } from './upstream.ts'

export const GATEWAY = 'https://auth.test'

export type PrivateJwk = JWK & { kid: string; alg: string }

export async function makeSigningKey(alg = 'ES256'): Promise<PrivateJwk> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(privateKey)
  return { ...jwk, alg, use: 'sig', kid: await calculateJwkThumbprint(jwk) }
}

/** Made once per test file: keys never change, and making them is slow. */
const made = new Map<string, Signer | PrivateJwk>()

async function once<T extends Signer | PrivateJwk>(name: string, make: () => Promise<T>): Promise<T> {
  if (!made.has(name)) made.set(name, await make())
  return made.get(name) as T
}

export const upstreamSigner = (alg = 'ES256') => once(`upstream ${alg}`, () => makeSigner(alg))
export const gatewayKey = (alg = 'ES256') => once(`gateway ${alg}`, () => makeSigningKey(alg))

/** A KV namespace in a `Map`, with faults on demand. */
export class TestKV implements EntitlementsKV {
  readonly values = new Map<string, string>()
  /** The keys of every read, in order. */
  readonly reads: string[][] = []
  readonly options: unknown[] = []
  fault: (() => Promise<never>) | undefined

  /** The life of every entry that was given one. */
  readonly ttls = new Map<string, number>()

  async put(key: string, document: unknown, options?: { expirationTtl: number }): Promise<void> {
    if (this.fault) return this.fault()
    this.values.set(key, typeof document === 'string' ? document : JSON.stringify(document))
    if (options) this.ttls.set(key, options.expirationTtl)
  }

  async get(keys: string[], options?: unknown): Promise<Map<string, string | null>> {
    this.reads.push(keys)
    this.options.push(options)
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

export const userDocument = (members: Record<string, unknown> = {}, userId = 'user_1') => ({
  ...PUBLISHED,
  user_id: userId,
  version: 3,
  grants: [],
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
  readonly signingKey: PrivateJwk
  /** The gateway's clock, in epoch milliseconds: a whole second of the real time, so that sums are exact. */
  now: number
  request(path: string, init?: RequestInit): Promise<Response>
  /** A refresh with usual parameters. */
  refresh(init?: RequestInit): Promise<Response>
  /** The token answer of a refresh that must succeed. */
  refreshed(): Promise<TokenAnswer>
  /** Sends a request, leaves at once, and waits for what the gateway does after that. */
  requestAndLeave(path: string, init?: RequestInit): Promise<void>
  /** The claims of a token, after its signature was checked with the published keys. */
  verified(token: string): Promise<JWTPayload & Record<string, unknown>>
}

export interface TokenAnswer {
  access_token: string
  id_token?: string
  refresh_token?: string
  expires_in?: number
}

export const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
export const REFRESH_BODY = 'grant_type=refresh_token&refresh_token=r1&client_id=app'

type Vars = Record<string, string | undefined>

const VARS = {
  ENVIRONMENT: 'production',
  ISSUER: GATEWAY,
  UPSTREAM_PROFILE: 'oidc',
  UPSTREAM_ORIGIN: UPSTREAM,
  UPSTREAM_ISSUER: UPSTREAM,
  UPSTREAM_AUDIENCE: AUDIENCE,
}

/** The configuration of a test, for a module on its own. */
export function configOf(vars: Vars = {}): Config {
  const parsed = parseConfig({ ENTITLEMENTS: new TestKV(), SIGNING_KEYS: '', ...VARS, ...vars })
  if (!parsed.ok) throw new Error(parsed.problems.join('\n'))
  return parsed.config
}

export async function keyringOf(...keys: JWK[]): Promise<Keyring> {
  const loaded = await loadKeyring(JSON.stringify({ keys }))
  if (!loaded.ok) throw new Error(loaded.problems.join('\n'))
  return loaded.keyring
}

/** @param vars - in place of the usual ones; `undefined` leaves one out */
export async function setUp(vars: Vars = {}): Promise<Setup> {
  const signingKey = await gatewayKey()
  const upstream = new Upstream(await upstreamSigner(), () => setup.now)
  const kv = new TestKV()
  kv.put('catalog:production', catalog({ reports: { kind: 'entitlement', access: 'all' } }))
  const bindings = {
    ENTITLEMENTS: kv,
    ...VARS,
    SIGNING_KEYS: JSON.stringify({ keys: [signingKey] }),
    ...vars,
  } as GatewayBindings
  const setup: Setup = {
    upstream,
    kv,
    bindings,
    signingKey,
    now: Math.floor(Date.now() / 1000) * 1000,
    async request(path, init) {
      return app.request(`${GATEWAY}${path}`, init, bindings)
    },
    refresh: (init) =>
      setup.request('/token', { method: 'POST', headers: FORM, body: REFRESH_BODY, ...init }),
    async refreshed() {
      const response = await setup.refresh()
      if (response.status !== 200) throw new Error(`the refresh was answered ${response.status}`)
      return response.json()
    },
    async requestAndLeave(path, init) {
      const context = createExecutionContext()
      void app.fetch(new Request(`${GATEWAY}${path}`, init), bindings, context)
      // The request is read before the client is gone.
      await new Promise((resolve) => setTimeout(resolve, 10))
      await waitOnExecutionContext(context)
    },
    async verified(token) {
      const jwks = createLocalJWKSet(await (await setup.request('/.well-known/jwks.json')).json())
      const { payload } = await jwtVerify(token, jwks, {
        currentDate: new Date(setup.now),
        clockTolerance: 5,
      })
      return payload
    },
  }
  const app = createGateway({ fetch: upstream.fetch, now: () => setup.now })
  return setup
}

/** The usual vars of the WorkOS profile. */
export const WORKOS = {
  UPSTREAM_PROFILE: 'workos',
  UPSTREAM_CLIENT_ID: 'client_1',
  UPSTREAM_AUDIENCE: undefined,
}
