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
      const next = nextForm(html, request.url, account)
      if (!next) return { url: request.url, pages }
      request = next
    }
    throw new Error(`more than ${MAX_STEPS} steps: ${pages.join(', ')}`)
  }

  /** Goes on until a page without a form, and gives that page. */
  async visit(
    start: URL,
    form: Record<string, string> = {},
    account = 'user_ada',
  ): Promise<{ url: URL; status: number; text: string }> {
    const first = Object.keys(form).length > 0 && new URLSearchParams(form)
    let request: { url: URL; form?: URLSearchParams } = { url: start, ...(first && { form: first }) }
    for (let step = 0; step < MAX_STEPS; step++) {
      const response = await this.#send(request.url, request.form)
      const location = response.headers.get('location')
      if (location !== null) {
        request = { url: new URL(location, request.url) }
        continue
      }
      const text = await response.text()
      const next = nextForm(text, request.url, account)
      if (!next) return { url: request.url, status: response.status, text }
      request = next
    }
    throw new Error(`more than ${MAX_STEPS} steps`)
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

/** Where the page's form leads, filled in. */
function nextForm(html: string, page: URL, account: string): { url: URL; form: URLSearchParams } | undefined {
  const form = answer(html, account)
  const action = /<form[^>]* action="([^"]+)"/.exec(html)?.[1] ?? ''
  return form && { url: new URL(action, page), form }
}

/** What a person would enter; nothing where nothing is asked. */
function answer(html: string, account: string): URLSearchParams | undefined {
  if (html.includes('name="account"')) return new URLSearchParams({ account })
  const xsrf = /name="xsrf" value="([^"]*)"/.exec(html)?.[1]
  return xsrf === undefined ? undefined : new URLSearchParams({ xsrf, logout: 'yes' })
}
