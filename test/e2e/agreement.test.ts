/**
 * Who agreed that this customer may use that, and what was really in the token: the control plane, the gateway and the queue
 * between them, as `npm start` runs them, with operators who log in at a real identity provider.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { startControl } from '../../dev/control.ts'
import { ControlClient } from '../../dev/control_client.ts'
import { startGateway } from '../../dev/gateway.ts'
import { CONTROL_AUDIENCE, startIdp } from '../../dev/idp.ts'
import { logIn } from '../../dev/login.ts'
import { freePorts } from '../../dev/network.ts'
import { seedControl } from '../../dev/seed_control.ts'

const PATIENCE_MS = 30_000
const REDIRECT = 'http://localhost:8789/callback'
/** The secret of nothing but this test's control plane. */
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

const running = new Running()
let idp: { url: string; issuer: string }
let control: ControlClient
let session: Awaited<ReturnType<typeof logIn>>
const tokens = new Map<string, string>()

beforeAll(async () => {
  const state = await mkdtemp(join(tmpdir(), 'remint-agreement-test-'))
  running.add({ close: () => rm(state, { recursive: true, force: true }) })
  const [gatewayPort = 0, controlPort = 0] = await freePorts(2)
  idp = running.add(await startIdp({ port: 0 }))
  const vars = { OIDC_ISSUER: idp.issuer, STANDARD_WEBHOOK_SECRETS: SECRET }
  const started = running.add(await startControl({ port: controlPort, persistTo: state, vars }))
  control = new ControlClient(started.url, started.key)
  await seedControl(control)
  const policies = await control.get<{ data: { environment: string; revision: number }[] }>('/policies')
  const { revision } = policies.data.find(({ environment }) => environment === 'production') ?? {
    revision: 0,
  }
  await control.write('PUT', '/policies/production', { approvals: 1, reason: 'a test' }, revision)
  const gateway = running.add(
    await startGateway({
      port: gatewayPort,
      persistTo: state,
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
    }),
  )
  session = await logIn({ issuer: gateway.url, account: 'user_grace', redirectUri: REDIRECT })
}, 120_000)
afterAll(() => running.close())

/** A call of an operator, who has logged in. */
async function call(operator: string, path: string, body?: object) {
  const token = tokens.get(operator) ?? (await operatorToken(operator))
  tokens.set(operator, token)
  const response = await fetch(`${control.url}/api/v1${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

async function operatorToken(operator: string): Promise<string> {
  const { tokens } = await logIn({
    ...{ issuer: idp.issuer, account: operator, redirectUri: REDIRECT },
    ...{ resource: CONTROL_AUDIENCE, scope: 'openid control' },
  })
  return tokens.access_token
}

async function refresh(headers: Record<string, string> = {}) {
  const { config } = session
  const plain = config[oidc.customFetch]
  config[oidc.customFetch] = (url, init) =>
    fetch(url, { ...(init as RequestInit), headers: { ...init.headers, ...headers } })
  session.tokens = await oidc.refreshTokenGrant(config, session.tokens.refresh_token ?? '')
  if (plain) config[oidc.customFetch] = plain
  const claims = decodeJwt(session.tokens.access_token)
  return { ...claims, flags: claims.feature_flags as string[] }
}

async function until<T>(read: () => Promise<T>, matches: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const value = await read()
    if (matches(value) || Date.now() > deadline) return value
    await sleep(300)
  }
}

test('a support override is asked for, refused to its author, approved by another, in the next token, and traced from its jti', async () => {
  const asked = await call('operator_admin', '/grants', {
    ...{
      environment: 'production',
      subject: { kind: 'org', id: 'org_globex' },
      flag: 'scim',
      source: 'support',
    },
    to: new Date(Date.now() + 3_600_000).toISOString(),
    ...{ reason: 'their directory is being moved', ticket: 'SUP-4711' },
  })
  expect(asked.status).toBe(202)
  const { id, digest } = asked.body.data
  const self = await call('operator_admin', `/changes/${id}/approve`, { digest })
  expect([self.status, self.body.code]).toEqual([403, 'self_approval'])
  expect((await refresh()).flags).not.toContain('scim')

  expect((await call('operator_approver', `/changes/${id}/approve`, { digest })).body.data.state).toBe(
    'approved',
  )
  const applied = await call('operator_admin', `/changes/${id}/apply`, {})
  expect(applied.body.data.state).toBe('applied')
  const token = await until(refresh, ({ flags }) => flags.includes('scim'))
  expect(token.flags).toContain('scim')

  const traced = await until(
    () => call('operator_viewer', `/tokens/${token.jti}?flag=scim`),
    ({ status }) => status === 200,
  )
  expect(traced.body).toMatchObject({ jti: token.jti, org: 'org_globex', agrees: true })
  const [why] = traced.body.why
  expect(why).toMatchObject({ flag: 'scim', on: true, reason: 'support' })
  expect(why.evidence).toContainEqual(
    expect.objectContaining({
      action: 'grant.create',
      actor: 'user:operator_admin',
      ticket: 'SUP-4711',
      change: expect.objectContaining({
        id,
        author: 'user:operator_admin',
        approvals: [expect.objectContaining({ actor: 'user:operator_approver' })],
      }),
    }),
  )
  const held = await call('operator_viewer', '/orgs/org_globex/tokens?environment=production')
  expect(held.body.data.map(({ jti }: { jti: string }) => jti)).toContain(token.jti)
})

test('a customer who has just paid sees the feature on the next click', async () => {
  expect((await refresh()).flags).not.toContain('advanced-analytics')
  const event = {
    ...{ specversion: '1.0', id: 'e-1', source: 'https://crm.example.com', type: 'contract.snapshot.v1' },
    time: new Date().toISOString(),
    data: {
      ...{ contract: 'C-2002', org: 'org_globex', revision: 1 },
      phases: [{ plan: 'enterprise', status: 'active', from: '2026-01-01T00:00:00Z', to: null }],
    },
  }
  const body = JSON.stringify(event)
  const now = new Date()
  const sent = await fetch(`${control.url}/webhooks/standard`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': 'e-1',
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Webhook(SECRET).sign('e-1', now, body),
    },
    body,
  })
  const { state, version } = (await sent.json()) as { state: string; version: number }
  expect(state).toBe('applied')
  const token = await refresh({ 'remint-min-version': String(version) })
  expect(token.flags).toContain('advanced-analytics')
})
