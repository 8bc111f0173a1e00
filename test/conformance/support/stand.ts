/**
 * What every conformance test uses: the gateway as it is deployed, a real KV protocol, an identity provider behind it, and
 * tokens signed with its own key, good ones and bad ones.
 */
import { createHash } from 'node:crypto'
import { importJWK, type JWK, SignJWT } from 'jose'
import { inject } from 'vitest'
import { Running } from '../../../dev/cli.ts'
import { API_AUDIENCE } from '../../../dev/idp.ts'
import { generateSigningKeys } from '../../../dev/signing_keys.ts'
import type { OrgDocument } from '../../../src/core/documents.ts'
import { startMockIdp } from '../../e2e/support/mock_idp.ts'
import { freePort, type TestGateway } from '../../e2e/support/stage.ts'
import { openGateway, openStage, type TestKv } from '../../e2e/support/workerd.ts'

/** What every route in the documents requires. */
export const FLAG = 'advanced-analytics'

/** A service that may introspect and ask about anyone. */
export const SERVICE = { id: 'reports-api', secret: 'conformance-secret-0123456789abcdef' } as const

export interface Stand {
  readonly gateway: TestGateway
  readonly kv: TestKv
  /** Where a Worker with a service binding to the gateway listens. */
  readonly caller: string
  /** A token as the gateway mints it; `undefined` leaves a claim out. */
  mint(claims?: Record<string, unknown>, key?: JWK): Promise<string>
  revokeSession(sid: string): void
  changeOrg(id: string, change: (org: OrgDocument) => Partial<OrgDocument>): void
  close(): Promise<void>
}

export async function openStand(): Promise<Stand> {
  const running = new Running()
  const [stage, idp, callerPort, signingKeys] = await Promise.all([
    openStage(running, inject('bundles').gateway),
    startMockIdp().then((started) => running.add(started)),
    freePort(),
    generateSigningKeys(),
  ])
  const digest = createHash('sha256').update(SERVICE.secret).digest('hex')
  const gateway = await openGateway(running, stage, {
    signingKeys,
    callerPort,
    vars: {
      UPSTREAM_ORIGIN: idp.url,
      UPSTREAM_ISSUER: idp.url,
      VERIFIERS: JSON.stringify({ [SERVICE.id]: digest }),
    },
  })
  const { documents } = stage.kv
  const [signingKey] = (JSON.parse(signingKeys) as { keys: JWK[] }).keys
  return {
    gateway,
    kv: stage.kv,
    caller: `http://127.0.0.1:${callerPort}`,
    async mint(claims = {}, key = signingKey as JWK) {
      const iat = Math.floor(Date.now() / 1000)
      const usual = {
        iss: gateway.url,
        aud: API_AUDIENCE,
        sub: 'user_ada',
        org_id: 'org_acme',
        sid: 'session_1',
        jti: crypto.randomUUID(),
        client_id: 'spa',
        iat,
        exp: iat + 300,
        feature_flags: [FLAG, 'csv-export', 'sso'],
        feature_flags_meta: { env: 'production', ver: '1.1', as_of: iat, src: 'fresh' },
      }
      const { alg = '', kid = '' } = key
      return new SignJWT({ ...usual, ...claims })
        .setProtectedHeader({ alg, kid: signingKey?.kid ?? kid, typ: 'at+jwt' })
        .sign(await importJWK(key, alg))
    },
    revokeSession: (sid) => {
      const until = Math.floor(Date.now() / 1000) + 300
      documents.set(`revoked:production:sid:${sid}`, JSON.stringify({ format: 1, until }))
    },
    changeOrg: (id, change) => {
      const key = `org:production:${id}`
      const org = JSON.parse(documents.get(key) ?? '') as OrgDocument
      documents.set(key, JSON.stringify({ ...org, ...change(org) }))
    },
    close: () => running.close(),
  }
}

/** The values of `Authorization` that a client sends, in order. */
export type Presented = readonly string[]

export interface Case {
  readonly name: string
  /** Whether `live` lets it pass. */
  readonly live: boolean
  /** Whether the claim alone lets it pass. */
  readonly claim: boolean
  readonly presented: Presented
}

/** One of each kind. An organization of its own makes a token old, so that the others stay good. */
export async function makeCases(stand: Stand): Promise<readonly Case[]> {
  const bearer = async (claims: Record<string, unknown> = {}, key?: JWK): Promise<Presented> => [
    `Bearer ${await stand.mint(claims, key)}`,
  ]
  const now = Math.floor(Date.now() / 1000)
  stand.revokeSession('session_revoked')
  const acme = JSON.parse(stand.kv.documents.get('org:production:org_acme') ?? '') as OrgDocument
  const moved = { ...acme, org_id: 'org_moved', not_before: now + 1 }
  stand.kv.documents.set('org:production:org_moved', JSON.stringify(moved))
  const [good = ''] = await bearer()
  const [other] = (JSON.parse(await generateSigningKeys()) as { keys: JWK[] }).keys
  const refused = { live: false, claim: false }
  const onlyLive = { live: false, claim: true }
  return [
    { name: 'good', live: true, claim: true, presented: [good] },
    { name: 'expired', ...refused, presented: await bearer({ exp: now - 10 }) },
    { name: 'wrong key', ...refused, presented: await bearer({}, other) },
    { name: 'missing flag', ...refused, presented: await bearer({ feature_flags: ['sso'] }) },
    { name: 'revoked session', ...onlyLive, presented: await bearer({ sid: 'session_revoked' }) },
    { name: 'old epoch', ...onlyLive, presented: await bearer({ org_id: 'org_moved' }) },
    { name: 'bound token', ...refused, presented: await bearer({ cnf: { jkt: 'thumbprint' } }) },
    { name: 'two Authorization headers', ...refused, presented: [good, good] },
    { name: 'garbage', ...refused, presented: ['Bearer garbage'] },
    { name: 'none', ...refused, presented: [] },
  ]
}

/** What stands behind `Bearer`, as far as a dialect takes the token by itself; two are one string, as HTTP joins them. */
export const tokenOf = (presented: Presented): string => presented.join(', ').replace(/^Bearer /, '')
