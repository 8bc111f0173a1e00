/**
 * A browser without a window: follows redirects with a cookie jar, chooses an account on the local IdP's log-in page,
 * confirms its log-out page, and stops where the client takes over.
 *
 * All plain HTTP on one host, so that a jar without domains, paths and scripts will do.
 */
const MAX_STEPS = 16

export interface Arrival {
  /** Where it stopped: at the client's address, or on a page that asks for nothing. */
  readonly url: URL
  /** Titles of the pages on the way. */
  readonly pages: readonly string[]
}

export class UserAgent {
  readonly #cookies = new Map<string, string>()

  /** Goes to `start` and on, until an address that begins with `clientUri` or a page without a form. */
  async browse(start: URL, clientUri: string, account = 'user_ada'): Promise<Arrival> {
    const pages: string[] = []
    let request: { url: URL; form?: URLSearchParams } = { url: start }
    for (let step = 0; step < MAX_STEPS; step++) {
      const response = await this.#send(request.url, request.form)
      const location = response.headers.get('location')
      if (location !== null) {
        const next = new URL(location, request.url)
        if (next.href.startsWith(clientUri)) return { url: next, pages }
        request = { url: next }
        continue
      }
      const html = await response.text()
      pages.push(/<title>([^<]*)/.exec(html)?.[1] ?? `status ${response.status}`)
      const form = answer(html, account)
      if (!form) return { url: request.url, pages }
      const action = /<form[^>]* action="([^"]+)"/.exec(html)?.[1] ?? ''
      request = { url: new URL(action, request.url), form }
    }
    throw new Error(`more than ${MAX_STEPS} steps: ${pages.join(', ')}`)
  }

  async #send(url: URL, form: URLSearchParams | undefined): Promise<Response> {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form && { method: 'POST', body: form }),
    })
    for (const cookie of response.headers.getSetCookie()) this.#keep(cookie)
    return response
  }

  #keep(cookie: string): void {
    const [pair = ''] = cookie.split(';')
    const equals = pair.indexOf('=')
    const value = pair.slice(equals + 1)
    if (value === '') this.#cookies.delete(pair.slice(0, equals))
    else this.#cookies.set(pair.slice(0, equals), value)
  }
}

/** What a person would enter; nothing where nothing is asked. */
function answer(html: string, account: string): URLSearchParams | undefined {
  if (html.includes('name="account"')) return new URLSearchParams({ account })
  const xsrf = /name="xsrf" value="([^"]*)"/.exec(html)?.[1]
  return xsrf === undefined ? undefined : new URLSearchParams({ xsrf, logout: 'yes' })
}
