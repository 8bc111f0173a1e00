/** A plain proxy, for comparison: one call to upstream, and its answer, once it is whole, handed back as it is. Instrumented likewise. */
import { faulty } from './fault.ts'

export default faulty(async function proxy(request, env) {
  const { host, pathname, search } = new URL(request.url)
  const headers = new Headers(request.headers)
  headers.set('x-forwarded-host', host)
  const response = await fetch(String(env.UPSTREAM_ORIGIN) + pathname + search, {
    method: request.method,
    headers,
    body: request.body,
    redirect: 'manual',
  })
  const body = await response.arrayBuffer()
  return new Response(body, response)
})
