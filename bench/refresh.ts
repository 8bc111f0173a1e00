/**
 * Refreshing a session: throughput and CPU time against the Worker that only proxies and the one that a user would
 * write, then what a refresh costs in KV operations and subrequests, then whether memory stays bounded.
 *
 * Costs are counted where they arrive, at the backend, one refresh at a time, and the worst one is reported.
 */
import { createLocalJWKSet, jwtVerify } from 'jose'
import { freePorts } from '../dev/network.ts'
import { AUDIENCE, CLIENT_ID, expectedFlags, withoutRollouts } from './fixtures.ts'
import { heapBytes } from './heap.ts'
import { cycle, httpRequest, once, run } from './load.ts'
import { type Contender, interleave, type Series } from './rounds.ts'
import type { Stage } from './stage.ts'

/** As many as one isolate may see in the few seconds that it keeps a document for: the isolate is warm. */
const ORGANIZATIONS = 100
const CONNECTIONS = 32
const COUNTED_REFRESHES = 50
const MEMORY_MAX_SECONDS = 600

/** @param nonce - what makes one refresh token of an organization differ from another */
export const refreshRequest = (org: number, nonce = 'k7Qp'.repeat(8)): Buffer => {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: CLIENT_ID,
    refresh_token: `rt_${org}_${nonce}`,
    scope: 'openid profile offline_access',
  })
  return httpRequest(
    'POST',
    '/token',
    { 'Content-Type': 'application/x-www-form-urlencoded' },
    form.toString(),
  )
}

const refreshRequests = (count: number, nonce?: string): Buffer[] =>
  Array.from({ length: count }, (_, n) => refreshRequest(n, nonce))

interface TokenResponse {
  readonly access_token: string
  readonly refresh_token: string
}

/** A minted answer must verify as an API would verify it, and carry what the organization is entitled to. */
export async function checkMinted(stage: Stage, issuer: string, body: string): Promise<void> {
  const answer = JSON.parse(body) as TokenResponse
  const jwks = createLocalJWKSet({ keys: [stage.key.publicJwk] })
  const { payload } = await jwtVerify(answer.access_token, jwks, {
    issuer,
    audience: AUDIENCE,
    typ: 'at+jwt',
  })
  const org = Number(String(payload.org_id).replace('org_', ''))
  const flags = withoutRollouts(payload.feature_flags as string[])
  const expected = expectedFlags(org)
  if (flags.join() !== expected.join()) {
    throw new Error(`org_${org}: expected feature_flags ${expected.join()}, got ${flags.join()}`)
  }
  if (!answer.refresh_token.startsWith(`rt_${org}_`)) throw new Error(`org_${org}: refresh token lost`)
}

/** The ID token beside it must be signed again, as upstream signs its own. */
async function checkIdToken({ idTokenKey }: Stage, issuer: string, body: string): Promise<void> {
  const jwks = createLocalJWKSet({ keys: [idTokenKey.publicJwk] })
  const { id_token } = JSON.parse(body) as { id_token: string }
  await jwtVerify(id_token, jwks, { issuer, audience: CLIENT_ID, algorithms: ['RS256'] })
}

const CONTENDERS = ['gateway', 'gateway-id-token', 'passthrough', 'naive'] as const

async function contender(stage: Stage, name: (typeof CONTENDERS)[number]): Promise<Contender> {
  const worker = await stage.start(name)
  const withIdToken = name === 'gateway-id-token'
  const requests = cycle(refreshRequests(ORGANIZATIONS, withIdToken ? `id_${'k7Qp'.repeat(8)}` : undefined))
  return {
    name,
    process: worker,
    run: async (seconds) => {
      const result = await run({ port: worker.port, connections: CONNECTIONS, seconds, next: requests })
      for (const body of name === 'passthrough' ? [] : result.samples) {
        await checkMinted(stage, worker.issuer, body)
        if (withIdToken) await checkIdToken(stage, worker.issuer, body)
      }
      return result
    },
  }
}

export async function measureRefresh(
  stage: Stage,
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<Record<string, Series>> {
  const contenders: Contender[] = []
  for (const name of CONTENDERS) contenders.push(await contender(stage, name))
  const series = await interleave(contenders, rounds, seconds, progress)
  for (const { process } of contenders) await process.stop()
  return series
}

export interface Operations {
  readonly kvOperations: number
  readonly subrequests: number
}

/** The most that any one refresh costs on a warm isolate, for an organization that it has not seen before. */
export async function measureOperations(stage: Stage): Promise<Operations> {
  const worker = await stage.start('gateway')
  const refresh = (org: number) =>
    run({ port: worker.port, connections: 1, seconds: 10, next: once([refreshRequest(org)]) })
  await refresh(0)
  let worst: Operations = { kvOperations: 0, subrequests: 0 }
  for (let org = 1; org <= COUNTED_REFRESHES; org++) {
    const before = await stage.counts()
    await refresh(org)
    const after = await stage.counts()
    const kv = after.kv - before.kv
    const upstream = after.upstream - before.upstream
    worst = {
      kvOperations: Math.max(worst.kvOperations, kv),
      subrequests: Math.max(worst.subrequests, kv + upstream),
    }
  }
  await worker.stop()
  return worst
}

export interface Memory {
  readonly rssBytes: number
  readonly heapBytes: number
}

/** Memory after a refresh of each organization, and after ten of each. */
export async function measureMemory(
  stage: Stage,
  organizations: number,
  progress: (line: string) => void,
): Promise<{ first: Memory; last: Memory }> {
  const [inspectorPort = 0] = await freePorts(1)
  const worker = await stage.start('gateway', inspectorPort)
  const next = cycle(refreshRequests(organizations))
  const nudge = () => fetch(`${worker.issuer}/healthz`)
  const refresh = async (count: number): Promise<Memory> => {
    let left = count
    const limited = () => (left-- > 0 ? next() : undefined)
    await run({ port: worker.port, connections: CONNECTIONS, seconds: MEMORY_MAX_SECONDS, next: limited })
    // Before the forced collection, which gives memory back that would have been used again.
    const rssBytes = worker.rssBytes()
    return { rssBytes, heapBytes: await heapBytes(inspectorPort, nudge) }
  }
  const first = await refresh(organizations)
  progress(`memory after ${organizations} refreshes: ${mebibytes(first)}`)
  const last = await refresh(9 * organizations)
  progress(`memory after ${10 * organizations} refreshes: ${mebibytes(last)}`)
  await worker.stop()
  return { first, last }
}

const mebibytes = ({ rssBytes, heapBytes }: Memory): string =>
  `${(rssBytes / 2 ** 20).toFixed(0)} MiB resident, ${(heapBytes / 2 ** 20).toFixed(1)} MiB heap in use`
