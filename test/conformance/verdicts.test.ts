/**
 * One table through every dialect: whatever protocol a service uses, the verdict is the same.
 *
 * All are tested with `live`; those that can also trust the claim are tested with that too.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { createGuard } from '../../src/guard/index.ts'
import { type HttpServer, sendJson, startServer } from '../e2e/support/http.ts'
import { authorization, postJson, send } from './support/http.ts'
import { missing, PROXY_NAMES, startProxy } from './support/proxies.ts'
import {
  type Case,
  FLAG,
  makeCases,
  openStand,
  type Presented,
  SERVICE,
  type Stand,
  tokenOf,
} from './support/stand.ts'

let stand: Stand
let app: HttpServer
let cases: readonly Case[]
const closers: (() => Promise<void>)[] = []
const proxies = new Map<string, string>()
beforeAll(async () => {
  stand = await openStand()
  cases = await makeCases(stand)
  app = await startServer((_, response) => sendJson(response, 200, {}))
  const host = (url: string) => new URL(url).host.replace('localhost', '127.0.0.1')
  for (const name of PROXY_NAMES) {
    if (missing(name) !== undefined) continue
    const proxy = await startProxy(name, { gateway: host(stand.gateway.url), app: host(app.url) })
    proxies.set(name, proxy.url)
    closers.push(proxy.close)
  }
})
afterAll(async () => {
  for (const close of closers) await close()
  await app.close()
  await stand.close()
})

type Freshness = 'claim' | 'live'
type Dialect = (presented: Presented, freshness: Freshness) => Promise<boolean>

const url = (path: string) => stand.gateway.url + path

/** A refusal has its own statuses; anything else is a fault, not a verdict. */
function passed(status: number, refusals: readonly number[] = [401, 403]): boolean {
  expect([200, ...refusals]).toContain(status)
  return status === 200
}

const subject = { type: 'user', id: 'user_ada' }
const question = { subject, action: { name: 'use' }, resource: { type: 'feature', id: FLAG } }
const context = { targetingKey: 'user_ada' }
/** A dialect that authenticates its callers refuses before it answers. */
const ofOwnToken = async (path: string, body: object, presented: Presented) => {
  const { status, text } = await postJson(url(path), body, authorization(presented))
  return passed(status) ? JSON.parse(text) : undefined
}

const guard = (freshness: Freshness) =>
  createGuard({ issuer: stand.gateway.url, audience: API_AUDIENCE, freshness, gateway: stand.gateway.url })
/** As the fetch API joins them. */
const requestOf = (presented: Presented): Request => {
  const headers = new Headers()
  for (const value of presented) headers.append('authorization', value)
  return new Request('https://api.example.com/reports', { headers })
}

const BOTH: Record<string, Dialect> = {
  'POST /verify': async (presented, freshness) => {
    const body = { features: { all: [FLAG] }, freshness }
    const { status, text } = await postJson(url('/verify'), body, authorization(presented))
    return passed(status, [400]) && JSON.parse(text).allowed
  },
  'POST /verify with the token in the body': async (presented, freshness) => {
    const body = { token: tokenOf(presented), features: { any: [FLAG, 'scim'] }, freshness }
    const { status, text } = await postJson(url('/verify'), body)
    return passed(status, [400]) && JSON.parse(text).allowed
  },
  '/guard/{flag}': async (presented, freshness) => {
    const headers = authorization(presented)
    return passed((await send(url(`/guard/${FLAG};freshness=${freshness}/x`), { headers })).status)
  },
  '/guard?all=': async (presented, freshness) => {
    const headers = authorization(presented)
    return passed((await send(url(`/guard?all=${FLAG}&freshness=${freshness}`), { headers })).status)
  },
  'the Verifier binding': async (presented, freshness) => {
    const call = ['verify', tokenOf(presented), { all: [FLAG], freshness }]
    return JSON.parse((await postJson(`${stand.caller}/`, call)).text).allowed
  },
  'remint/guard': async (presented, freshness) =>
    (await guard(freshness).check(requestOf(presented), FLAG)).ok,
}

const LIVE_ONLY: Record<string, Dialect> = {
  'POST /introspect': async (presented) => {
    const basic: [string, string] = ['Authorization', `Basic ${btoa(`${SERVICE.id}:${SERVICE.secret}`)}`]
    const { status, text } = await send(url('/introspect'), {
      method: 'POST',
      headers: [basic, ['Content-Type', 'application/x-www-form-urlencoded']],
      body: new URLSearchParams({ token: tokenOf(presented) }).toString(),
    })
    const { active, cnf, feature_flags: flags = [] } = JSON.parse(text)
    // A bound token is described with its key; the caller must check the proof.
    return passed(status, [400]) && active && cnf === undefined && flags.includes(FLAG)
  },
  'AuthZEN evaluation': async (presented) =>
    (await ofOwnToken('/access/v1/evaluation', question, presented))?.decision ?? false,
  'AuthZEN evaluations': async (presented) => {
    const body = { ...question, evaluations: [{}] }
    const answer = await ofOwnToken('/access/v1/evaluations', body, presented)
    return answer?.evaluations[0].decision ?? false
  },
  'OFREP, one flag': async (presented) =>
    (await ofOwnToken(`/ofrep/v1/evaluate/flags/${FLAG}`, { context }, presented))?.value ?? false,
  'OFREP, all flags': async (presented) => {
    const answer = await ofOwnToken('/ofrep/v1/evaluate/flags', { context }, presented)
    return answer?.flags.find(({ key }: { key: string }) => key === FLAG).value ?? false
  },
}

const CASES = [
  ...['good', 'expired', 'wrong key', 'missing flag', 'revoked session'],
  ...['old epoch', 'bound token', 'two Authorization headers', 'garbage', 'none'],
]
const caseOf = (name: string): Case => cases.find((one) => one.name === name) as Case

describe.each(Object.entries({ ...BOTH, ...LIVE_ONLY }))('live, %s', (_, ask) => {
  test.each(CASES)('%s', async (name) => {
    const { presented, live } = caseOf(name)
    expect(await ask(presented, 'live')).toBe(live)
  })
})

describe.each(Object.entries(BOTH))('claim, %s', (_, ask) => {
  test.each(CASES)('%s', async (name) => {
    const { presented, claim } = caseOf(name)
    expect(await ask(presented, 'claim')).toBe(claim)
  })
})

describe.each(PROXY_NAMES)('live, %s in front of an application', (proxy) => {
  test.for(CASES)('%s', async (name, { skip }) => {
    const why = missing(proxy)
    if (why !== undefined) return skip(why)
    const { presented, live } = caseOf(name)
    const { status } = await send(`${proxies.get(proxy)}/reports/1`, { headers: authorization(presented) })
    // nginx refuses a second Authorization by itself, as a bad request.
    expect(passed(status, [400, 401, 403])).toBe(live)
  })
})

test('the table has every case', () => {
  expect(cases.map(({ name }) => name)).toEqual(CASES)
})
