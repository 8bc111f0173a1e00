/** Paths that a proxy might pass on as a client wrote them, over a bare socket: none of them changes what is required. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { authorization, send } from './support/http.ts'
import { openStand, type Stand } from './support/stand.ts'

let stand: Stand
let client: [string, string][]
beforeAll(async () => {
  stand = await openStand()
  client = authorization([`Bearer ${await stand.mint({ feature_flags: ['sso'] })}`])
})
afterAll(() => stand.close())

test.each([
  ['/guard/sso', 200, 'allowed'],
  ['/guard/sso/any/path', 200, 'allowed'],
  ['/guard/scim/../sso', 403, 'requirement_malformed'],
  ['/guard/scim/%2e%2e/sso', 403, 'requirement_malformed'],
  ['/guard/scim/..%2Fsso', 403, 'requirement_malformed'],
  ['/guard/scim\\..\\sso', 403, 'requirement_malformed'],
  ['/guard/scim/./../sso', 403, 'requirement_malformed'],
  ['/guard/scim/?/../sso', 403, 'feature_missing'],
  ['/guard/scim/#/../sso', 403, 'feature_missing'],
])('%s: %i', async (path, status, reason) => {
  const answer = await send(stand.gateway.url + path, { headers: client })
  expect([answer.status, answer.headers['x-remint-reason']]).toEqual([status, reason])
})
