/** `remint/guard` where nothing of Node's and nothing of Workers' is: in a service worker of a real browser. */
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Running } from '../../dev/cli.ts'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { chromiumPath, launchChromium } from '../e2e/support/chromium.ts'
import { type HttpServer, startServer } from '../e2e/support/http.ts'
import { FLAG, makeCases, openStand, type Stand } from './support/stand.ts'

const skipped = chromiumPath ? '' : ' (skipped: there is no Chromium; CHROMIUM_PATH says where one is)'

const worker = (issuer: string) => `
import { createGuard } from './src/guard/index.ts'
const guard = createGuard(${JSON.stringify({ issuer, audience: API_AUDIENCE })})
addEventListener('install', () => skipWaiting())
addEventListener('activate', (event) => event.waitUntil(clients.claim()))
addEventListener('fetch', (event) => {
  if (new URL(event.request.url).pathname !== '/reports') return
  event.respondWith(
    guard.check(event.request, ${JSON.stringify(FLAG)}).then((checked) =>
      checked.ok ? Response.json(checked.identity) : checked.response))
})
`

async function bundle(issuer: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: worker(issuer), resolveDir: process.cwd(), loader: 'js' },
    bundle: true,
    format: 'iife',
    platform: 'browser',
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}

describe.skipIf(!chromiumPath)(`a service worker in Chromium${skipped}`, () => {
  const running = new Running()
  let stand: Stand
  let site: HttpServer
  beforeAll(async () => {
    stand = running.add(await openStand())
    const script = await bundle(stand.gateway.url)
    site = running.add(
      await startServer((request, response) => {
        const isScript = request.url === '/worker.js'
        response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
        response.end(isScript ? script : '<!doctype html><title>guarded</title>')
      }),
    )
  })
  afterAll(() => running.close())

  test('guards requests by the claim', async () => {
    const browser = running.add(await launchChromium())
    const page = await browser.newPage()
    await page.goto(site.url)
    await page.evaluate(async () => {
      await navigator.serviceWorker.register('/worker.js')
      await navigator.serviceWorker.ready
      while (!navigator.serviceWorker.controller) await new Promise((resolve) => setTimeout(resolve, 20))
    })
    const verdicts: Record<string, boolean> = {}
    const cases = await makeCases(stand)
    for (const { name, presented } of cases) {
      const status = await page.evaluate(async (values) => {
        const headers = new Headers()
        for (const value of values) headers.append('authorization', value)
        return (await fetch('/reports', { headers })).status
      }, presented)
      expect([200, 401, 403]).toContain(status)
      verdicts[name] = status === 200
    }
    expect(verdicts).toEqual(Object.fromEntries(cases.map(({ name, claim }) => [name, claim])))
  })
})
