/**
 * Many sessions at once on a bad network: the gateway with its Durable Objects in workerd, and a provider that rotates
 * refresh tokens and revokes the session of a client that uses one twice. For the tests, and longer for `npm run soak`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'oidc-provider'
import type { Running } from '../../../dev/cli.ts'
import { API_AUDIENCE, DEMO_SERVICE, startIdp } from '../../../dev/idp.ts'
import { openGateway, openStage } from './workerd.ts'

/** Refreshes in flight. */
const CONNECTIONS = 16
const SEED = 20_261_122

export interface Answer {
  readonly status: number
  readonly body: { access_token: string; refresh_token: string; expires_in: number; error?: string }
}

export type Crowd = Awaited<ReturnType<typeof openCrowd>>

/** @param bundle - the folder of the gateway's bundle */
export async function openCrowd(running: Running, bundle: string) {
  const sessions = await mkdtemp(join(tmpdir(), 'remint-sessions-'))
  running.add({ close: () => rm(sessions, { recursive: true, force: true }) })
  const idp = running.add(await startIdp({ port: 0 }))
  const { provider } = idp
  /** Token requests that reached the provider, by how they ended. */
  const upstream = { granted: 0, refused: 0 }
  provider.on('grant.success', () => upstream.granted++)
  provider.on('grant.error', () => upstream.refused++)
  const gateway = await openGateway(running, await openStage(running, bundle), {
    vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
    sessions,
  })
  const client = (await provider.Client.find(DEMO_SERVICE.id)) as Client

  return {
    ...{ gateway, idp, upstream },
    /** A session as a log-in leaves it, without anybody logging in: its refresh token. */
    async openSession(): Promise<string> {
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
    },
    /** Refreshes at the gateway, or past it. */
    async refresh(refreshToken: string, origin = gateway.url): Promise<Answer> {
      const response = await fetch(`${origin}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${DEMO_SERVICE.id}:${DEMO_SERVICE.secret}`)}` },
        body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken }),
      })
      return { status: response.status, body: (await response.json()) as Answer['body'] }
    },
  }
}

export interface Outcome {
  /** How the sessions ended that did. */
  readonly ended: readonly string[]
  /** Replies that never arrived. */
  readonly lost: number
  /** Token requests that reached the provider, by how they ended. */
  readonly granted: number
  readonly refused: number
  /** Sessions whose refresh token the provider still takes. */
  readonly alive: number
}

/**
 * Refreshes each session once, in random order. A client whose reply is lost sends the same again: what upstream rotated
 * for that reply, the next one must bring.
 *
 * @param lossRate - the share of replies that are lost
 */
export async function refreshAll(crowd: Crowd, sessions: number, lossRate: number): Promise<Outcome> {
  const { idp, upstream } = crowd
  const tokens: string[] = []
  for (let n = 0; n < sessions; n++) tokens.push(await crowd.openSession())
  const before = { ...upstream }
  const random = generator(SEED)
  const work = shuffled(sessions, random).values()
  const ended: string[] = []
  let lost = 0

  async function refresh(index: number): Promise<void> {
    const { status, body } = await crowd.refresh(tokens[index] as string)
    if (random() < lossRate) {
      lost++
      return refresh(index)
    }
    if (status === 200) tokens[index] = body.refresh_token
    else ended.push(`${status} ${body.error}`)
  }
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (const index of work) await refresh(index)
    }),
  )
  const found = await Promise.all(tokens.map((token) => idp.provider.RefreshToken.find(token)))
  return {
    ...{ ended, lost },
    granted: upstream.granted - before.granted,
    refused: upstream.refused - before.refused,
    alive: found.filter((token) => token?.isValid).length,
  }
}

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
