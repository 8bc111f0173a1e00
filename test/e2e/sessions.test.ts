/**
 * Sessions that refresh all at once, and many of them on a bad network. `npm run soak` does the latter with 10,000.
 */
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { type Crowd, openCrowd, refreshAll } from './support/crowd.ts'
import { ACME_FLAGS } from './support/stage.ts'

const running = new Running()
let crowd: Crowd

beforeAll(async () => {
  crowd = await openCrowd(running, inject('bundles').gateway)
})
afterAll(() => running.close())

describe('simultaneous refreshes with one token', () => {
  test.each([2, 10, 20])('%i: one reaches the provider, all get a pair that works', async (count) => {
    const session = await crowd.openSession()
    const before = { ...crowd.upstream }
    const answers = await Promise.all(Array.from({ length: count }, () => crowd.refresh(session)))
    expect(crowd.upstream).toEqual({ granted: before.granted + 1, refused: before.refused })
    expect(answers.map(({ status }) => status)).toEqual(Array(count).fill(200))

    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', crowd.gateway.url))
    for (const { body } of answers) {
      const { payload } = await jwtVerify(body.access_token, keys, { audience: API_AUDIENCE })
      expect(payload.feature_flags).toEqual(ACME_FLAGS)
      expect(body.expires_in).toBeLessThanOrEqual((payload.exp as number) - (payload.iat as number))
    }
    const [next] = new Set(answers.map(({ body }) => body.refresh_token))
    expect((await crowd.refresh(next as string)).status).toBe(200)
  })

  test('50: one reaches the provider, and who comes too late for 20 replays waits, and loses nothing', async () => {
    const session = await crowd.openSession()
    const { granted, refused } = crowd.upstream
    const answers = await Promise.all(Array.from({ length: 50 }, () => crowd.refresh(session)))
    expect(crowd.upstream).toEqual({ granted: granted + 1, refused })
    const served = answers.filter(({ status }) => status === 200)
    expect(served.length).toBeGreaterThan(20)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(50 - served.length)
    const [next, ...others] = new Set(served.map(({ body }) => body.refresh_token))
    expect(others).toEqual([])
    expect((await crowd.refresh(next as string)).status).toBe(200)
  })

  test('the provider ends the session when the same happens without the gateway', async () => {
    const session = await crowd.openSession()
    const direct = (token: string) => crowd.refresh(token, crowd.idp.url)
    const rotated = await direct(session)
    expect((await direct(session)).status).toBe(400)
    expect((await direct(rotated.body.refresh_token)).status).toBe(400)
  })
})

test('of 300 sessions that refresh in random order, of whose replies 5 % are lost, none is lost', async () => {
  const { lost, ...outcome } = await refreshAll(crowd, 300, 0.05)
  expect(outcome).toEqual({ ended: [], granted: 300, refused: 0, alive: 300 })
  expect(lost).toBeGreaterThan(0)
})
