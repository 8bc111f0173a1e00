/** Official clients against the gateway: OpenFeature's OFREP providers for servers and browsers, and openid-client. */
import { OFREPProvider } from '@openfeature/ofrep-provider'
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider'
import { OpenFeature as ServerFeature } from '@openfeature/server-sdk'
import { type Provider, OpenFeature as WebFeature } from '@openfeature/web-sdk'
import * as oidc from 'openid-client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { FLAG, openStand, SERVICE, type Stand } from './support/stand.ts'

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())
afterEach(async () => {
  await ServerFeature.close()
  await WebFeature.close()
})

const KEY: [string, string][] = [['Authorization', `Bearer ${SERVICE.secret}`]]

describe('@openfeature/ofrep-provider', () => {
  const clientWith = async (headers: [string, string][]) => {
    const provider = new OFREPProvider({ baseUrl: stand.gateway.url, headers })
    await ServerFeature.setProviderAndWait('server', provider)
    return ServerFeature.getClient('server')
  }

  test('evaluates flags for any organization with a verifier key', async () => {
    const client = await clientWith(KEY)
    const details = await client.getBooleanDetails(FLAG, false, { targetingKey: 'org_acme' })
    expect(details).toMatchObject({ value: true, reason: 'TARGETING_MATCH', variant: 'on' })
    expect(await client.getBooleanValue(FLAG, true, { targetingKey: 'org_globex' })).toBe(false)
    const killed = await client.getBooleanDetails('legacy-export', true, { targetingKey: 'org_acme' })
    expect(killed).toMatchObject({ value: false, reason: 'DISABLED' })
  })

  test('falls back to the default where there is no answer, and says why', async () => {
    const client = await clientWith(KEY)
    const acme = { targetingKey: 'org_acme' }
    expect(await client.getBooleanDetails('nothing', true, acme)).toMatchObject({
      value: true,
      errorCode: 'FLAG_NOT_FOUND',
    })
    expect(await client.getBooleanDetails(FLAG, false, {})).toMatchObject({
      errorCode: 'TARGETING_KEY_MISSING',
    })
    const stranger = await clientWith([['Authorization', 'Bearer wrong']])
    expect(await stranger.getBooleanDetails(FLAG, false, acme)).toMatchObject({
      value: false,
      reason: 'ERROR',
    })
  })
})

describe('@openfeature/ofrep-web-provider', () => {
  test('evaluates all flags with the user’s own token, and follows a change', async () => {
    const token = await stand.mint()
    const statuses: number[] = []
    const fetchImplementation: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      statuses.push(response.status)
      return response
    }
    const provider = new OFREPWebProvider({
      baseUrl: stand.gateway.url,
      pollInterval: 300,
      cacheMode: 'disabled',
      fetchImplementation,
      headers: [['Authorization', `Bearer ${token}`]],
    })
    await WebFeature.setContext({ targetingKey: 'org_acme' })
    // Its types leave `hooks` open to undefined, which ours tell apart from missing.
    await WebFeature.setProviderAndWait('web', provider as Provider)
    const client = WebFeature.getClient('web')
    expect(client.getBooleanDetails(FLAG, false)).toMatchObject({ value: true, variant: 'on' })
    // Not in the token, so no guard would let it pass.
    expect(client.getBooleanValue('audit-log', false)).toBe(false)

    // An unchanged answer is not sent again.
    await eventually(() => statuses.find((status) => status === 304), 'a 304')
    stand.changeOrg('org_acme', (org) => ({
      contracts: org.contracts.map((contract) => ({ ...contract, plan: 'starter' })),
    }))
    await eventually(() => !client.getBooleanValue(FLAG, true) || undefined, 'the change')
    stand.changeOrg('org_acme', (org) => ({
      contracts: org.contracts.map((contract) => ({ ...contract, plan: 'enterprise' })),
    }))
  })
})

describe('openid-client', () => {
  const discover = (id: string, auth: oidc.ClientAuth) =>
    oidc.discovery(new URL(stand.gateway.url), id, undefined, auth, { execute: [oidc.allowInsecureRequests] })

  test.each([
    ['client_secret_basic', oidc.ClientSecretBasic(SERVICE.secret)],
    ['client_secret_post', oidc.ClientSecretPost(SERVICE.secret)],
  ])('introspects with %s at the endpoint that it discovered', async (_, auth) => {
    const config = await discover(SERVICE.id, auth)
    const token = await stand.mint({ sid: 'session_introspected' })
    expect(await oidc.tokenIntrospection(config, token)).toMatchObject({
      active: true,
      token_type: 'Bearer',
      sub: 'user_ada',
      feature_flags: expect.arrayContaining(['csv-export']),
    })
    expect(await oidc.tokenIntrospection(config, 'garbage')).toEqual({ active: false })
  })

  test('is refused with a wrong secret', async () => {
    const config = await discover(SERVICE.id, oidc.ClientSecretBasic('wrong'))
    await expect(oidc.tokenIntrospection(config, await stand.mint())).rejects.toThrow()
  })

  test('revokes a token, which is inactive from then on', async () => {
    const token = await stand.mint({ sid: 'session_of_a_client' })
    const reader = await discover(SERVICE.id, oidc.ClientSecretBasic(SERVICE.secret))
    expect(await oidc.tokenIntrospection(reader, token)).toMatchObject({ active: true })
    await oidc.tokenRevocation(await discover('spa', oidc.None()), token)
    expect(await oidc.tokenIntrospection(reader, token)).toEqual({ active: false })
  })
})
