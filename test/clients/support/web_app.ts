/** An app with a server, and a person who uses it without a window. */
import { createServer, type RequestListener } from 'node:http'
import type { Running } from '../../../dev/cli.ts'
import { listen } from '../../../dev/network.ts'
import { UserAgent } from '../../e2e/support/user_agent.ts'

export interface WebApp {
  readonly url: string
  /** Goes to a path of the app and on to wherever that leads, until a page that asks for nothing. */
  visit(path: string, form?: Record<string, string>): Promise<Page>
}

export interface Page {
  readonly url: URL
  readonly status: number
  readonly text: string
}

export async function startWebApp(
  running: Running,
  serve: (url: string) => RequestListener,
): Promise<WebApp> {
  let listener: RequestListener
  const server = createServer((request, response) => listener(request, response))
  const url = `http://localhost:${await listen(server, 0)}`
  listener = serve(url)
  running.add({
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
  const person = new UserAgent()
  return { url, visit: (path, form) => person.visit(new URL(path, url), form) }
}

/** What a route of the app that shows its access token has said. */
export function tokenOf({ status, text, url }: Page): string {
  const { access_token: token } = status === 200 ? JSON.parse(text) : {}
  if (typeof token !== 'string')
    throw new Error(`no token at ${url.pathname}: ${status} ${text.slice(0, 300)}`)
  return token
}
