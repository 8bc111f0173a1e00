/** A single-page app in a real Chromium, on an origin of its own: a page of `pages/`, bundled as its users would. */
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Running } from '../../../dev/cli.ts'
import { launchChromium } from '../../e2e/support/chromium.ts'
import { startServer } from '../../e2e/support/http.ts'
import type { Provider } from './stacks.ts'
import type { Client } from './story.ts'

const PAGES = join(import.meta.dirname, '..', 'pages')
const TIMEOUT_MS = 20_000
const HTML = '<!doctype html><title>app</title><script type="module" src="/page.js"></script>'

export { chromiumPath } from '../../e2e/support/chromium.ts'

/** @param account - whom the person chooses where the provider asks */
export async function openBrowserApp(
  running: Running,
  name: string,
  provider: Provider,
  account?: string,
): Promise<Client> {
  const bundle = await build({
    entryPoints: [join(PAGES, `${name}.ts`)],
    ...{ bundle: true, write: false, format: 'esm', target: 'es2022', logLevel: 'warning' },
  })
  const script = bundle.outputFiles[0]?.text ?? ''
  const app = running.add(
    await startServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://localhost')
      const [type, text] =
        pathname === '/page.js'
          ? ['text/javascript', script]
          : pathname === '/settings.json'
            ? ['application/json', JSON.stringify(provider)]
            : ['text/html', HTML]
      response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(text)
    }),
  )
  const browser = running.add(await launchChromium())
  const page = await browser.newPage()
  page.setDefaultTimeout(TIMEOUT_MS)
  /** What the console says is why a library failed, most of all where CORS refused something. */
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))

  const withComplaints = (error: Error): never => {
    throw new Error([error.message, ...complaints.splice(0)].join('\n'))
  }
  const ready = (): Promise<unknown> =>
    page.waitForFunction(
      (home) => location.href === home && globalThis.remintClient !== undefined,
      `${app.url}/`,
    )

  await page.goto(app.url)
  await ready().catch(withComplaints)
  return {
    async logIn() {
      await page.evaluate(() => void globalThis.remintClient?.logIn())
      if (account !== undefined) await page.getByRole('button', { name: account }).click()
      await page.waitForURL(`${app.url}/**`)
      await ready().catch(withComplaints)
      const token = await page.evaluate(() => globalThis.remintClient?.accessToken()).catch(withComplaints)
      return token ?? withComplaints(new Error('the app has no token'))
    },
    async refresh() {
      const token = await page.evaluate(() => globalThis.remintClient?.refresh()).catch(withComplaints)
      return token ?? withComplaints(new Error('the app has no token'))
    },
    async logOut() {
      await Promise.all([
        page.waitForEvent('load'),
        page.evaluate(() => void globalThis.remintClient?.logOut()),
      ])
      await page.waitForURL(`${app.url}/**`)
      await ready().catch(withComplaints)
    },
  }
}
