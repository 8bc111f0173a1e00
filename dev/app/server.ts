/**
 * The demo app: one page, one script and one gated API route, as a customer of the gateway would have them.
 *
 * The page has no build step; `oidc-client-ts` is served as its package ships it for browsers. The policy allows no
 * inline script, no inline style and no other host than the gateway.
 */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { entitleCommand } from '../commands.ts'
import { DEMO_APP } from '../idp.ts'
import { listen } from '../network.ts'
import { REPORTS_FLAG, type ReportsOptions, reports } from './reports.ts'

const PUBLIC = join(import.meta.dirname, 'public')
const OIDC_CLIENT = join(
  dirname(createRequire(import.meta.url).resolve('oidc-client-ts/package.json')),
  'dist/browser/oidc-client-ts.min.js',
)

const HTML = 'text/html; charset=utf-8'
const CSS = 'text/css; charset=utf-8'
const SCRIPT = 'text/javascript; charset=utf-8'

/** The files, read again on each request so that an edit shows on reload. */
const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': [join(PUBLIC, 'index.html'), HTML],
  '/callback': [join(PUBLIC, 'index.html'), HTML],
  '/base.css': [join(PUBLIC, 'base.css'), CSS],
  '/welcome.css': [join(PUBLIC, 'welcome.css'), CSS],
  '/workspace.css': [join(PUBLIC, 'workspace.css'), CSS],
  '/app.js': [join(PUBLIC, 'app.js'), SCRIPT],
  '/view.js': [join(PUBLIC, 'view.js'), SCRIPT],
  '/icon.svg': [join(PUBLIC, 'icon.svg'), 'image/svg+xml'],
  '/oidc-client-ts.js': [OIDC_CLIENT, SCRIPT],
}

export interface PageOptions extends ReportsOptions {
  /** How `npm run entitle` is called, for the commands on the page. */
  entitle?: string
}

export interface AppOptions extends PageOptions {
  port: number
}

export async function startApp(options: AppOptions): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(getRequestListener(demoApp(options).fetch))
  const port = await listen(server, options.port)
  return {
    url: `http://localhost:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export function demoApp({ issuer, audience, entitle = entitleCommand() }: PageOptions): Hono {
  const app = new Hono()
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self' ${issuer}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  app.use(async (c, next) => {
    await next()
    c.header('content-security-policy', policy)
    c.header('referrer-policy', 'no-referrer')
    c.header('x-content-type-options', 'nosniff')
  })
  for (const [path, [file, type]] of Object.entries(FILES)) {
    app.get(path, async (c) =>
      c.body(await readFile(file), 200, { 'content-type': type, 'cache-control': 'no-cache' }),
    )
  }
  app.get('/settings.json', (c) => c.json({ issuer, clientId: DEMO_APP, reportsFlag: REPORTS_FLAG, entitle }))
  app.route('/api/reports', reports({ issuer, audience }))
  return app
}
