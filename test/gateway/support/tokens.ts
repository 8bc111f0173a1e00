/** Tokens as the gateway mints them, and bent ones, signed with its real key: what a verifier can be shown. */
import { importJWK, SignJWT } from 'jose'
import { catalog, GATEWAY, orgDocument, type Setup, setUp } from './gateway.ts'
import { AUDIENCE } from './upstream.ts'

export const FLAGS = {
  reports: { kind: 'entitlement', access: 'some' },
  sso: { kind: 'entitlement', access: 'some' },
  scim: { kind: 'entitlement', access: 'some' },
  everybody: { kind: 'entitlement', access: 'all' },
  killed: { kind: 'entitlement', access: 'all', killed: true },
}

const KEY = '0123456789abcdef0123456789abcdef'

/** A service that may ask about anyone: `reader`, with this secret. */
export const SERVICE = { name: 'reader', secret: KEY }

export const basic = (name: string, secret: string): string => `Basic ${btoa(`${name}:${secret}`)}`

export async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A gateway whose organization has `reports` and `sso` by contract, and a service that may ask. */
export async function setUpVerification(vars: Record<string, string | undefined> = {}): Promise<Setup> {
  const setup = await setUp({
    VERIFIERS: JSON.stringify({ [SERVICE.name]: await sha256(SERVICE.secret) }),
    ...vars,
  })
  setup.kv.put('catalog:production', catalog(FLAGS, { pro: ['reports', 'sso'] }))
  entitle(setup, ['reports', 'sso'])
  return setup
}

/** Publishes an organization document with these flags from a contract. */
export function entitle(setup: Setup, flags: readonly string[], members: Record<string, unknown> = {}): void {
  const contract = {
    id: 'C-1',
    plan: null,
    status: 'active',
    from: '2026-01-01T00:00:00Z',
    to: null,
    add: flags,
  }
  setup.kv.put('org:production:org_acme', orgDocument({ contracts: [contract], ...members }))
}

/** A token as the gateway would have minted it now. @param claims - over the usual ones; `undefined` leaves one out */
export async function mintToken(
  setup: Setup,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  const iat = Math.floor(setup.now / 1000)
  const usual = {
    iss: GATEWAY,
    aud: AUDIENCE,
    sub: 'user_1',
    org_id: 'org_acme',
    sid: 'session_1',
    jti: 'token_1',
    client_id: 'app',
    scope: 'openid profile',
    iat,
    exp: iat + 300,
    feature_flags: ['everybody', 'reports', 'sso'],
    feature_flags_meta: { env: 'production', ver: '87.12', as_of: iat, src: 'fresh' },
  }
  const { kid, alg } = setup.signingKey
  return new SignJWT({ ...usual, ...claims })
    .setProtectedHeader({ alg, kid, typ: 'at+jwt', ...header })
    .sign(await importJWK(setup.signingKey, alg))
}

export const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } })
