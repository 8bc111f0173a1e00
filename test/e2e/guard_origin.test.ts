/**
 * `GUARD_ORIGIN` where it is needed: `wrangler dev`, like Cloudflare's edge, resolves dot segments before the gateway sees
 * the URL, so that a proxy which appends a client's path could be led out of the guard.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { send } from '../conformance/support/http.ts'
import { freePort } from './support/stage.ts'
import { openDevGateway } from './support/wrangler_dev.ts'

const running = new Running()
let port: number

beforeAll(async () => {
  port = await freePort()
  const vars = {
    // Nobody is there: nothing of this needs an identity provider.
    UPSTREAM_ORIGIN: 'http://localhost:9',
    UPSTREAM_ISSUER: 'http://localhost:9',
    UPSTREAM_AUDIENCE: 'https://api.test',
    GUARD_ORIGIN: `http://127.0.0.1:${port}`,
  }
  await openDevGateway(running, vars, port)
}, 60_000)
afterAll(() => running.close())

const PATHS = [
  '/guard/sso/../../healthz',
  '/guard/sso/%2e%2e/%2e%2e/healthz',
  '/guard/sso/..\\..\\healthz',
  '/guard/sso/../../.well-known/jwks.json',
  '/guard/sso/../../.well-known/openid-configuration',
  '/guard/sso/../../../',
]

describe('under the origin of the guards no path leads to a 200 without a token', () => {
  test.each([...PATHS, '/healthz', '/guard/sso', '/guard/sso/any/path'])('%s', async (path) => {
    const { status, headers } = await send(`http://127.0.0.1:${port}${path}`)
    expect([401, 403]).toContain(status)
    expect(headers).toMatchObject({ 'x-remint-org': '', 'x-remint-features': '' })
  })
})

test('under the gateway’s own address it would', async () => {
  expect((await send(`http://localhost:${port}/guard/sso/../../healthz`)).status).toBe(200)
})
