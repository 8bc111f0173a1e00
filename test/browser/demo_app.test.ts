/**
 * `oidc-client-ts` in a real browser, in the demo app as `npm start` runs it: a person logs in, somebody changes what
 * the organization is entitled to, and the next refresh opens the route that was closed. Skipped without a Chromium.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startApp } from '../../dev/app/server.ts'
import { Running } from '../../dev/cli.ts'
import { type LocalControl, startControl } from '../../dev/control.ts'
import { program } from '../../dev/entitle.ts'
import { API_AUDIENCE, startIdp } from '../../dev/idp.ts'
import { chromiumPath, launchChromium } from '../e2e/support/chromium.ts'
import { ACME_FLAGS, freePort } from '../e2e/support/stage.ts'
import { type DevGateway, openDevGateway } from '../e2e/support/wrangler_dev.ts'
import { runCommand } from '../support/command.ts'
import { PATIENT } from '../support/eventually.ts'

const running = new Running()
const FLAG = 'advanced-analytics'
/** The gateway keeps a document for at most 5 s; the rest is for a slow machine. */
const CHANGE_TIMEOUT_MS = 20_000

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

describe.skipIf(!chromiumPath)(`the demo app in Chromium${skipped}`, () => {
  let app: string
  let gateway: DevGateway
  let control: LocalControl
  let context: BrowserContext
  let page: Page
  const complaints: string[] = []

  beforeAll(async () => {
    const port = await freePort()
    app = `http://localhost:${port}`
    const idp = running.add(
      await startIdp({ port: 0, redirectUris: [`${app}/callback`], postLogoutRedirectUris: [`${app}/`] }),
    )
    gateway = await openDevGateway(running, { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer })
    control = running.add(await startControl({ port: await freePort(), persistTo: gateway.state }))
    const browser = running.add(await launchChromium())
    running.add(await startApp({ port, issuer: gateway.url, audience: API_AUDIENCE }))
    context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] })
    page = await context.newPage()
    page.setDefaultTimeout(15_000)
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('console', (message) => {
      // A 403 of the gated route, and a gateway that is cut off, are in the console of every browser.
      const expected = /403|ERR_CONNECTION_REFUSED/.test(message.text())
      if (message.type() === 'error' && !expected) complaints.push(message.text())
    })
  }, 120_000)
  afterAll(() => running.close())

  const button = (name: string) => page.getByRole('button', { name, exact: true })
  const flags = () => page.locator('#flags li:not(.removed) span:first-child').allTextContents()

  /** Waits for the page to show who is there: buttons are in it from the start. */
  const shows = (person: string) => page.locator('#person', { hasText: person }).waitFor()

  async function logIn(person: string): Promise<void> {
    await page.goto(app)
    await button('Log in').click()
    await page.getByRole('button', { name: person }).click()
    await shows(person)
  }

  /** Presses the refresh button until the flags are these; on the way there they may only be what they were. */
  async function refreshUntil(expected: readonly string[]): Promise<void> {
    const before = await flags()
    const deadline = Date.now() + CHANGE_TIMEOUT_MS
    for (;;) {
      const [answered] = await Promise.all([
        page.waitForResponse(
          (response) => response.url().endsWith('/token') && response.request().method() === 'POST',
        ),
        button('Refresh session').click(),
      ])
      expect(answered.status()).toBe(200)
      await page.locator('#status', { hasText: /^Refreshed/ }).waitFor()
      const now = await flags()
      if (JSON.stringify(now) === JSON.stringify(expected)) return
      if (Date.now() > deadline) expect(now).toEqual(expected)
      expect(now).toEqual(before)
      await sleep(500)
    }
  }

  const entitle = (...args: string[]) =>
    runCommand(program(), ['--state', gateway.state, '--control', control.url, ...args])

  async function loadReports(): Promise<number> {
    const [answered] = await Promise.all([
      page.waitForResponse(`${app}/api/reports`),
      button('Load reports').click(),
    ])
    return answered.status()
  }

  test('Grace logs in through the gateway and sees what Globex has', async () => {
    await logIn('Grace Hopper')
    await expect.poll(flags, PATIENT).toEqual(['csv-export', 'new-editor'])
    expect(page.url()).toBe(`${app}/`)
  })

  test('a gated route is closed, opens with a grant and a refresh, and closes again', async () => {
    expect(await loadReports()).toBe(403)
    await entitle('grant', 'org_globex', FLAG, '--source', 'beta', '--for', '30d')
    await refreshUntil([FLAG, 'csv-export', 'new-editor'])
    expect(await loadReports()).toBe(200)

    await entitle('revoke', 'org_globex', FLAG)
    await refreshUntil(['csv-export', 'new-editor'])
    expect(await loadReports()).toBe(403)
  })

  test('a flag that was taken away is explained, and brought back', async () => {
    const commands = page.locator('#result .command code')
    // The page shows them after the answer is there.
    await commands.nth(1).waitFor()
    const advice = await commands.allTextContents()
    expect(advice[0]?.trim()).toBe('npm run entitle -- show org_globex')
    expect(advice[1]?.trim()).toBe(`npm run entitle -- rule ${FLAG} --revive`)
  })

  test('the access token can be copied, for the gateway to decide about, and that is announced', async () => {
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText())
    await page.locator('summary').click()
    await button('Copy token').click()
    await page.locator('#announcer', { hasText: 'Access token copied.' }).waitFor()
    const token = await clipboard()
    expect(token.split('.')).toHaveLength(3)
    await page.locator('#verify').getByRole('button').click()
    await page.locator('#announcer', { hasText: 'Command copied.' }).waitFor()
    expect(await clipboard()).toContain(`curl ${gateway.url}/verify -H "authorization: Bearer ${token}"`)
  })

  test('the person stays in sight on a narrow screen', async () => {
    await page.setViewportSize({ width: 390, height: 800 })
    expect(await page.locator('#person').isVisible()).toBe(true)
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true)
    await page.setViewportSize({ width: 1200, height: 800 })
  })

  test('a reload continues the session', async () => {
    await page.reload()
    await shows('Grace Hopper')
    await expect.poll(flags, PATIENT).toEqual(['csv-export', 'new-editor'])
  })

  test('a log-in link that is opened again says so', async () => {
    // A browser keeps the address of the first time in its history.
    for (const query of ['', '?code=spent&state=spent']) {
      await page.goto(`${app}/callback${query}`)
      const notice = page.locator('#notice', { hasText: 'This log-in link was used already. Log in again.' })
      await notice.waitFor()
      expect(page.url()).toBe(`${app}/`)
    }
    await page.reload()
    await shows('Grace Hopper')
  })

  test('logging out ends the session at the provider too', async () => {
    await button('Log out').click()
    await button('Log in').waitFor()
    expect(page.url()).toBe(`${app}/`)
    // Were the provider's session alive, it would not ask who is there.
    await logIn('Ada Lovelace')
    await expect.poll(flags, PATIENT).toEqual(ACME_FLAGS)
  })

  test('a gateway that does not answer is an error with a hint, and logging out then stays on the page', async () => {
    await context.route(`${gateway.url}/**`, (route) => route.abort('connectionrefused'))
    await button('Refresh session').click()
    await page.locator('#status.failed', { hasText: 'Is npm start running?' }).waitFor()
    await expect.poll(flags, PATIENT).toEqual(ACME_FLAGS)
    await button('Log out').click()
    await page.locator('#notice', { hasText: 'Is npm start running?' }).waitFor()
    expect(page.url()).toBe(`${app}/`)
    await context.unrouteAll()
  })

  test('a session that has ended on a refresh leaves the focus on Log in', async () => {
    await button('Log in').click()
    await shows('Ada Lovelace')
    const ended = {
      status: 400,
      json: { error: 'invalid_grant' },
      headers: { 'access-control-allow-origin': '*' },
    }
    await context.route(`${gateway.url}/token`, (route) => route.fulfill(ended))
    await button('Refresh session').click()
    await page.locator('#notice', { hasText: 'Your session has ended' }).waitFor()
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('login')
    expect(complaints.splice(0).filter((text) => !text.includes('400'))).toEqual([])
  })

  test('the browser has nothing to complain of', () => {
    expect(complaints).toEqual([])
  })
})
