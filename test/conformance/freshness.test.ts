/** How soon a change shows, on the real clock: `live` follows KV within six seconds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { authorization, send } from './support/http.ts'
import { FLAG, openStand, type Stand } from './support/stand.ts'

const LIMIT_MS = 6_000
/** The promise is a time, and the machine may be busy: only a change that is late every time is a failure. */
const TIMED = { retry: 2 }

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

const status = async (token: string) =>
  (
    await send(`${stand.gateway.url}/guard/${FLAG};freshness=live`, {
      headers: authorization([`Bearer ${token}`]),
    })
  ).status

/** Milliseconds until the guard shows it. */
async function untilStatus(token: string, wanted: number): Promise<number> {
  const startedAt = performance.now()
  while ((await status(token)) !== wanted) {
    if (performance.now() - startedAt > 2 * LIMIT_MS) return Number.POSITIVE_INFINITY
    await sleep(50)
  }
  return performance.now() - startedAt
}

test('a flag that is taken away is refused within 6 s, and given back within 6 s', TIMED, async () => {
  const token = await stand.mint()
  const contracts = (plan: string) => (org: { contracts: object[] }) =>
    ({ contracts: org.contracts.map((contract) => ({ ...contract, plan })) }) as never
  stand.changeOrg('org_acme', contracts('enterprise'))
  await untilStatus(token, 200)
  stand.changeOrg('org_acme', contracts('starter'))
  expect(await untilStatus(token, 403)).toBeLessThan(LIMIT_MS)
  stand.changeOrg('org_acme', contracts('enterprise'))
  expect(await untilStatus(token, 200)).toBeLessThan(LIMIT_MS)
})

test('a session that is revoked in KV is refused within 6 s', TIMED, async () => {
  const sid = crypto.randomUUID()
  const token = await stand.mint({ sid })
  expect(await status(token)).toBe(200)
  stand.revokeSession(sid)
  expect(await untilStatus(token, 401)).toBeLessThan(LIMIT_MS)
})

test('a session that is revoked here is refused by the next request', async () => {
  const token = await stand.mint({ sid: 'session_3' })
  expect(await status(token)).toBe(200)
  const revoked = await send(`${stand.gateway.url}/revoke`, {
    method: 'POST',
    headers: [['Content-Type', 'application/x-www-form-urlencoded']],
    body: new URLSearchParams({ token }).toString(),
  })
  expect(revoked.status).toBe(200)
  expect(await status(token)).toBe(401)
  expect([...stand.kv.documents.keys()]).toContain('revoked:production:sid:session_3')
})

test('HTTP and the Verifier binding share what they have read', async () => {
  const token = await stand.mint({ sub: 'user_of_both', sid: 'session_of_both' })
  expect(await status(token)).toBe(200)
  const before = stand.kv.reads
  const call = ['verify', token, { all: [FLAG], freshness: 'live' }]
  const { text } = await send(`${stand.caller}/`, { method: 'POST', body: JSON.stringify(call) })
  expect(JSON.parse(text)).toMatchObject({ allowed: true })
  expect(stand.kv.reads).toBe(before)
})

test('what live asks of KV is one read for everything, and none while that is current', async () => {
  const token = await stand.mint({ sub: 'user_of_this_test', sid: 'session_4' })
  const before = stand.kv.reads
  for (let i = 0; i < 10; i++) expect(await status(token)).toBe(200)
  expect(stand.kv.reads - before).toBeLessThanOrEqual(1)
})
