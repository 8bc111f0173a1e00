/**
 * One look at the demo app in a real browser: a person logs in through the gateway, and a gated route follows the flags. The
 * stories are in test/browser. Skipped without a Chromium.
 */
import { afterAll, expect, inject, test } from 'vitest'
import { startApp } from '../../dev/app/server.ts'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE, startIdp } from '../../dev/idp.ts'
import { chromiumPath, launchChromium } from './support/chromium.ts'
import { ACME_FLAGS, freePort } from './support/stage.ts'
import { openGateway, openStage } from './support/workerd.ts'

const running = new Running()
afterAll(() => running.close())

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

test.skipIf(!chromiumPath)(
  `the demo app shows Ada her flags, and opens what they open${skipped}`,
  async () => {
    const port = await freePort()
    const app = `http://localhost:${port}`
    const redirects = { redirectUris: [`${app}/callback`], postLogoutRedirectUris: [`${app}/`] }
    const idp = running.add(await startIdp({ port: 0, ...redirects }))
    const gateway = await openGateway(running, await openStage(running, inject('bundles').gateway), {
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
    })
    running.add(await startApp({ port, issuer: gateway.url, audience: API_AUDIENCE }))
    const browser = running.add(await launchChromium())
    const page = await browser.newPage()
    await page.goto(app)
    await page.getByRole('button', { name: 'Log in', exact: true }).click()
    await page.getByRole('button', { name: 'Ada Lovelace' }).click()
    await page.locator('#person', { hasText: 'Ada Lovelace' }).waitFor()
    await page.locator('#flags li').first().waitFor()
    expect(await page.locator('#flags li span:first-child').allTextContents()).toEqual(ACME_FLAGS)
    const [reports] = await Promise.all([
      page.waitForResponse(`${app}/api/reports`),
      page.getByRole('button', { name: 'Load reports', exact: true }).click(),
    ])
    expect(reports.status()).toBe(200)
  },
)
