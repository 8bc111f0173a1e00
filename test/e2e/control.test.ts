/**
 * The control plane, the gateway and the queue between them, with operators who log in at a real identity provider: what they
 * do is in the token of the next refresh, and that token leads to who approved it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { operators } from '../../dev/idp/accounts.ts'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { eventually } from '../support/eventually.ts'
import { openStack, type Stack } from './support/stack.ts'

/** The secret of nothing but this test's control plane. */
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

const running = new Running()
let stack: Stack
let session: Awaited<ReturnType<Stack['openSession']>>
const tokens = new Map<string, string>()

beforeAll(async () => {
  const secrets = { STANDARD_WEBHOOK_SECRETS: SECRET }
  stack = await openStack(running, { bundles: inject('bundles'), secrets })
  session = await stack.openSession()
}, 120_000)
afterAll(() => running.close())

/** A call of an operator, who has logged in. */
async function call(operator: string, path: string, body?: object) {
  const token = tokens.get(operator) ?? (await stack.tokenOf(operator))
  tokens.set(operator, token)
  const response = await fetch(`${stack.control.url}/api/v1${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

/** @param version - the change that the token must show, which may be younger than what the gateway has read */
async function refresh(version?: number | null) {
  const { config } = session
  const plain = config[oidc.customFetch]
  const headers = version ? { 'remint-min-version': String(version) } : {}
  config[oidc.customFetch] = (url, init) =>
    fetch(url, { ...(init as RequestInit), headers: { ...init.headers, ...headers } })
  session.tokens = await oidc.refreshTokenGrant(config, session.tokens.refresh_token ?? '')
  if (plain) config[oidc.customFetch] = plain
  const claims = decodeJwt(session.tokens.access_token)
  return { ...claims, flags: claims.feature_flags as string[] }
}

interface Written {
  readonly seq: number
  readonly data: { readonly to?: string | null }
}
const write = (path: string, body: object) => stack.control.write<Written>('POST', path, body)

const me = async (token: string) => {
  const headers = { authorization: `Bearer ${token}` }
  return fetch(`${stack.control.url}/api/v1/me`, { headers })
}

describe('operators', () => {
  test.each(operators.map(({ id, operatorRole }) => [id, operatorRole]))(
    '%s has the role %s',
    async (id, role) => {
      const answer = await me(await stack.tokenOf(id))
      expect(await answer.json()).toMatchObject({ actor: `user:${id}`, roles: [role] })
    },
  )

  test('a customer’s token, even an admin’s, opens nothing', async () => {
    expect((await me(await stack.tokenOf('user_ada', API_AUDIENCE))).status).toBe(401)
    await refresh()
    expect((await me(session.tokens.access_token)).status).toBe(401)
    expect((await me(await stack.tokenOf('user_ada'))).status).toBe(403)
  })
})

test('a grant made by API is in the token of the next refresh, which does not outlive it, and gone after its end', async () => {
  const to = Date.now() + 4_000
  const { data, seq } = await write('/grants', {
    ...{ environment: 'production', subject: { kind: 'org', id: 'org_globex' }, flag: 'scim' },
    ...{ source: 'support', to: new Date(to).toISOString(), reason: 'a migration' },
  })
  expect(data.to).toBe(new Date(to).toISOString())
  const granted = await refresh(seq)
  expect(granted.flags).toContain('scim')
  expect(granted.exp).toBeLessThanOrEqual(Math.floor(to / 1000))
  await sleep(Math.max(0, to - Date.now() + 50))
  expect((await refresh()).flags).not.toContain('scim')
})

test('killing a flag takes it from the tokens, and reviving gives it back, without anything that asks for it', async () => {
  const has = (flag: string) => refresh().then(({ flags }) => flags.includes(flag))
  const until = (flag: string, there: boolean) =>
    eventually(async () => (await has(flag)) === there || undefined, `${flag}: ${there}`)
  expect(await has('csv-export')).toBe(true)
  await write('/flags/csv-export/rules/production/kill', { reason: 'incident' })
  await until('csv-export', false)
  const { seq } = await write('/flags/csv-export/rules/production/revive', { reason: 'over' })
  expect((await refresh(seq)).flags).toContain('csv-export')
})

describe('where the policy of production asks for an approval', () => {
  beforeAll(async () => {
    const { data } = await stack.control.get<{ data: { environment: string; revision: number }[] }>(
      '/policies',
    )
    const revision = data.find(({ environment }) => environment === 'production')?.revision ?? 0
    await stack.control.write('PUT', '/policies/production', { approvals: 1, reason: 'a test' }, revision)
  })

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
    const token = await refresh(applied.body.seq)
    expect(token.flags).toContain('scim')

    const traced = await eventually(async () => {
      const answer = await call('operator_viewer', `/tokens/${token.jti}?flag=scim`)
      return answer.status === 200 ? answer : undefined
    }, 'the token in the mint log')
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
    const sent = await fetch(`${stack.control.url}/webhooks/standard`, {
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
    const token = await refresh(version)
    expect(token.flags).toContain('advanced-analytics')
  })
})
