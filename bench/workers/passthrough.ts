/**
 * The yardstick of a refresh: a Worker that only proxies. One streaming `fetch` with the request's own method, headers
 * and body, redirects not followed, and the answer handed back as it is.
 */
interface Env {
  UPSTREAM_ORIGIN: string
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, search } = new URL(request.url)
    return fetch(env.UPSTREAM_ORIGIN + pathname + search, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      redirect: 'manual',
    })
  },
}
