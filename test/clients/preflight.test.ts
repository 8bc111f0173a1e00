/**
 * What browsers ask before they send a token request: a page in Chromium, on another origin, sends what client libraries send,
 * and reads the answer. The refresh token is nobody's, so that the provider's own refusal is what must arrive.
 */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { chromiumPath, launchChromium } from '../e2e/support/chromium.ts'
import { startServer } from '../e2e/support/http.ts'
import type { Provider, ProviderName } from './support/stacks.ts'

const FORM = 'application/x-www-form-urlencoded'
const BASIC = `Basic ${btoa('my-server:my-server-secret-for-local-use-only')}`

/** A name, the provider, its token endpoint, headers, and what the provider says. */
const REQUESTS = [
  ['a form and nothing else', 'local', '/token', { 'content-type': FORM }, 'invalid_grant'],
  [
    'a header of the library',
    'local',
    '/token',
    { 'content-type': FORM, 'auth0-client': 'eyJ9' },
    'invalid_grant',
  ],
  ['a trace header', 'local', '/token', { 'content-type': FORM, traceparent: '00-0-0-01' }, 'invalid_grant'],
  [
    'a version to wait for',
    'local',
    '/token',
    { 'content-type': FORM, 'remint-min-version': '1' },
    'invalid_grant',
  ],
  ['HTTP Basic', 'local', '/token', { 'content-type': FORM, authorization: BASIC }, 'invalid_grant'],
  ['a DPoP proof', 'local', '/token', { 'content-type': FORM, dpop: 'not.a.proof' }, 'invalid_dpop_proof'],
  [
    'JSON',
    'workos',
    '/user_management/authenticate',
    { 'content-type': 'application/json', accept: 'application/json, text/plain, */*' },
    'invalid_grant',
  ],
] as const

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

describe.skipIf(!chromiumPath)(`a page on another origin in Chromium${skipped}`, () => {
  const running = new Running()
  let page: Page

  beforeAll(async () => {
    const blank = (_request: unknown, response: { end(text: string): void }) =>
      response.end('<title>app</title>')
    const app = running.add(await startServer(blank))
    const browser: Browser = running.add(await launchChromium())
    page = await browser.newPage()
    await page.goto(app.url)
  })
  afterAll(() => running.close())

  const gatewayOf = async (name: ProviderName): Promise<Provider> =>
    (await (await fetch(`${inject('desk')}/${name}`)).json()) as Provider

  test.each(REQUESTS)(
    'reads the answer to a token request with %s',
    async (_name, provider, path, headers, error) => {
      const { url, clientId } = await gatewayOf(provider)
      const parameters = { grant_type: 'refresh_token', refresh_token: 'nobodys', client_id: clientId }
      const isForm = headers['content-type'] === FORM
      // The server's own client says who it is in the header.
      const { client_id: _, ...authenticated } = parameters
      const sent = 'authorization' in headers ? authenticated : parameters
      const body = isForm ? String(new URLSearchParams(sent)) : JSON.stringify(sent)
      const answer = await page.evaluate(
        async ([address, init]) => {
          const response = await fetch(address, init)
          return { status: response.status, body: await response.json() }
        },
        [url + path, { method: 'POST', headers, body }] as const,
      )
      expect(answer).toMatchObject({ status: 400, body: { error } })
    },
  )

  test.each(['/.well-known/openid-configuration', '/.well-known/jwks.json'])(
    'reads %s with a trace header',
    async (path) => {
      const { url } = await gatewayOf('local')
      const status = await page.evaluate(
        async (address) => (await fetch(address, { headers: { traceparent: '00-0-0-01' } })).status,
        url + path,
      )
      expect(status).toBe(200)
    },
  )

  test.each(['/verify', '/guard', '/introspect'])('is refused at %s, which is for services', async (path) => {
    const { url } = await gatewayOf('local')
    const init = { method: 'POST', headers: { authorization: 'Bearer x' } }
    const sent = page.evaluate(([address, options]) => fetch(address, options), [url + path, init] as const)
    await expect(sent).rejects.toThrow('Failed to fetch')
  })
})
