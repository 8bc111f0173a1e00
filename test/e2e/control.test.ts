/**
 * The control plane and the gateway together, as `npm start` runs them: operators log in at the identity provider, and
 * what they do is in the token of the next refresh.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { startControl } from '../../dev/control.ts'
import { ControlClient } from '../../dev/control_client.ts'
import { startGateway } from '../../dev/gateway.ts'
import { operators } from '../../dev/idp/accounts.ts'
import { CONTROL_AUDIENCE, startIdp } from '../../dev/idp.ts'
import { logIn } from '../../dev/login.ts'
import { freePorts } from '../../dev/network.ts'
import { seedControl } from '../../dev/seed_control.ts'

/** The gateway keeps a document for at most 5 s; the rest is for a slow machine. */
const VISIBLE_MS = 20_000
const REDIRECT = 'http://localhost:8789/callback'

const running = new Running()
let idp: { url: string; issuer: string }
let gateway: string
let control: ControlClient
let session: Awaited<ReturnType<typeof logIn>>

beforeAll(async () => {
  const state = await mkdtemp(join(tmpdir(), 'remint-control-test-'))
  running.add({ close: () => rm(state, { recursive: true, force: true }) })
  const [gatewayPort = 0, controlPort = 0] = await freePorts(2)
  idp = running.add(await startIdp({ port: 0 }))
  const vars = { OIDC_ISSUER: idp.issuer }
  const started = running.add(await startControl({ port: controlPort, persistTo: state, vars }))
  control = new ControlClient(started.url, started.key)
  await seedControl(control)
  gateway = running.add(
    await startGateway({
      port: gatewayPort,
      persistTo: state,
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
    }),
  ).url
  session = await logIn({ issuer: gateway, account: 'user_grace', redirectUri: REDIRECT })
}, 120_000)
afterAll(() => running.close())

async function refresh() {
  const { refresh_token = '' } = session.tokens
  session.tokens = await oidc.refreshTokenGrant(session.config, refresh_token)
  const claims = decodeJwt(session.tokens.access_token)
  return { ...claims, flags: claims.feature_flags as string[] }
}

async function refreshUntil(matches: (flags: string[]) => boolean) {
  const deadline = Date.now() + VISIBLE_MS
  for (;;) {
    const token = await refresh()
    if (matches(token.flags) || Date.now() > deadline) return token
    await sleep(300)
  }
}

const tokenOf = async (account: string, resource?: string): Promise<string> => {
  const { tokens } = await logIn({
    ...{ issuer: idp.issuer, account, redirectUri: REDIRECT },
    ...(resource === undefined ? {} : { resource, scope: 'openid control' }),
  })
  return tokens.access_token
}

const me = (token: string) =>
  fetch(`${control.url}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } })

describe('operators', () => {
  test.each(operators.map(({ id, operatorRole }) => [id, operatorRole]))(
    '%s has the role %s',
    async (id, role) => {
      const answer = await me(await tokenOf(id, CONTROL_AUDIENCE))
      expect(await answer.json()).toMatchObject({ actor: `user:${id}`, roles: [role] })
    },
  )

  test('a customer’s token, even an admin’s, opens nothing', async () => {
    expect((await me(await tokenOf('user_ada'))).status).toBe(401)
    expect((await me(session.tokens.access_token)).status).toBe(401)
    expect((await me(await tokenOf('user_ada', CONTROL_AUDIENCE))).status).toBe(403)
  })
})

test('a grant made by API is in the token of the next refresh, which does not outlive it, and gone after its end', async () => {
  const to = Date.now() + 14_000
  const { data } = await control.write('POST', '/grants', {
    ...{ environment: 'production', subject: { kind: 'org', id: 'org_globex' }, flag: 'scim' },
    ...{ source: 'support', to: new Date(to).toISOString(), reason: 'a migration' },
  })
  expect(data.to).toBe(new Date(to).toISOString())
  const granted = await refreshUntil((flags) => flags.includes('scim'))
  expect(granted.flags).toContain('scim')
  expect(granted.exp).toBeLessThanOrEqual(Math.floor(to / 1000))
  await sleep(Math.max(0, to - Date.now() + 50))
  expect((await refresh()).flags).not.toContain('scim')
})

test('killing a flag takes it from the tokens, and reviving gives it back', async () => {
  expect((await refresh()).flags).toContain('csv-export')
  await control.write('POST', '/flags/csv-export/rules/production/kill', { reason: 'incident' })
  expect((await refreshUntil((flags) => !flags.includes('csv-export'))).flags).not.toContain('csv-export')
  await control.write('POST', '/flags/csv-export/rules/production/revive', { reason: 'over' })
  expect((await refreshUntil((flags) => flags.includes('csv-export'))).flags).toContain('csv-export')
})
