/**
 * Sessions that refresh all at once, and many of them on a bad network: the gateway with its Durable Objects in workerd,
 * and a provider that rotates refresh tokens and revokes the session of whoever uses one twice.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import type { Client, Provider } from 'oidc-provider'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE, DEMO_SERVICE, type Idp, startIdp } from '../../dev/idp.ts'
import { ACME_FLAGS } from './support/stage.ts'
import { openGateway, openStage, type WorkerdGateway } from './support/workerd.ts'

const running = new Running()
let idp: Idp
let gateway: WorkerdGateway
/** Token requests that reached the provider, by how they ended. */
const upstream = { granted: 0, refused: 0 }

beforeAll(async () => {
  // In memory where there is such a folder: how fast this machine's disk syncs 10,000 files is not what is tested.
  const folder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const sessions = await mkdtemp(join(folder, 'remint-sessions-'))
  running.add({ close: () => rm(sessions, { recursive: true, force: true }) })
  idp = running.add(await startIdp({ port: 0 }))
  idp.provider.on('grant.success', () => upstream.granted++)
  idp.provider.on('grant.error', () => upstream.refused++)
  gateway = await openGateway(running, await openStage(running), {
    vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
    sessions,
  })
})
afterAll(() => running.close())

interface Answer {
  readonly status: number
  readonly body: { access_token: string; refresh_token: string; expires_in: number; error?: string }
}

async function refresh(refreshToken: string): Promise<Answer> {
  const response = await fetch(`${gateway.url}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${DEMO_SERVICE.id}:${DEMO_SERVICE.secret}`)}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken }),
  })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

/** A session as a log-in leaves it, without anybody logging in. */
async function openSession(provider: Provider, client: Client): Promise<string> {
  const grant = new provider.Grant({ clientId: client.clientId, accountId: 'user_ada' })
  grant.addOIDCScope('openid')
  grant.addResourceScope(API_AUDIENCE, 'reports:read')
  const token = new provider.RefreshToken({
    client,
    accountId: 'user_ada',
    grantId: await grant.save(),
    gty: 'authorization_code',
    scope: 'reports:read',
    resource: API_AUDIENCE,
    sessionUid: crypto.randomUUID(),
    claims: {},
  } as never)
  return token.save()
}

const demoClient = async (): Promise<Client> => (await idp.provider.Client.find(DEMO_SERVICE.id)) as Client

describe('simultaneous refreshes with one token', () => {
  test.each([2, 10, 50])('%i: one reaches the provider, all get a pair that works', async (count) => {
    const session = await openSession(idp.provider, await demoClient())
    const before = { ...upstream }
    const answers = await Promise.all(Array.from({ length: count }, () => refresh(session)))
    expect(upstream).toEqual({ granted: before.granted + 1, refused: before.refused })
    expect(answers.map(({ status }) => status)).toEqual(Array(count).fill(200))

    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', gateway.url))
    for (const { body } of answers) {
      const { payload } = await jwtVerify(body.access_token, keys, { audience: API_AUDIENCE })
      expect(payload.feature_flags).toEqual(ACME_FLAGS)
      expect(body.expires_in).toBeLessThanOrEqual((payload.exp as number) - (payload.iat as number))
    }
    const [next] = new Set(answers.map(({ body }) => body.refresh_token))
    expect((await refresh(next as string)).status).toBe(200)
  })

  test('the provider ends the session when the same happens without the gateway', async () => {
    const session = await openSession(idp.provider, await demoClient())
    const direct = (token: string) =>
      fetch(`${idp.url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${DEMO_SERVICE.id}:${DEMO_SERVICE.secret}`)}` },
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
      })
    const rotated = (await (await direct(session)).json()) as { refresh_token: string }
    expect((await direct(session)).status).toBe(400)
    expect((await direct(rotated.refresh_token)).status).toBe(400)
  })
})

describe('10,000 sessions that refresh in random order, of whose replies 5 % are lost', () => {
  const SESSIONS = 10_000
  const LOST = 0.05
  const CONNECTIONS = 16

  test('none is lost', async () => {
    const client = await demoClient()
    const tokens: string[] = []
    for (let n = 0; n < SESSIONS; n++) tokens.push(await openSession(idp.provider, client))
    const before = { ...upstream }
    const random = generator(20_261_122)
    const order = shuffled(SESSIONS, random)
    const ended: string[] = []
    let lost = 0

    /** Sends until a reply arrives: what upstream rotated for a reply that was lost, the next one must bring. */
    async function refreshSession(index: number): Promise<void> {
      const { status, body } = await refresh(tokens[index] as string)
      if (random() < LOST) {
        lost++
        return refreshSession(index)
      }
      if (status === 200) tokens[index] = body.refresh_token
      else ended.push(`${status} ${body.error}`)
    }
    const work = order.values()
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        for (const index of work) await refreshSession(index)
      }),
    )
    expect(ended).toEqual([])
    expect(lost).toBeGreaterThan(SESSIONS * LOST * 0.8)
    expect(upstream).toEqual({ granted: before.granted + SESSIONS, refused: before.refused })
    const { RefreshToken } = idp.provider
    const found = await Promise.all(tokens.map((token) => RefreshToken.find(token)))
    expect(found.filter((token) => token?.isValid)).toHaveLength(SESSIONS)
  }, 300_000)
})

/** A linear congruential generator, so that a run that fails can be repeated: numbers from 0 to 1. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function shuffled(count: number, random: () => number): number[] {
  const numbers = Array.from({ length: count }, (_, n) => n)
  for (let n = count - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1))
    ;[numbers[n], numbers[other]] = [numbers[other] as number, numbers[n] as number]
  }
  return numbers
}
