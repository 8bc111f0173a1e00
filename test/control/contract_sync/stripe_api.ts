/** A small part of Stripe's API behind a fetcher: lists in pages, expanded subscriptions, errors of its form. */
export interface Asked {
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly authorization: string | null
}

export interface StripeAnswers {
  /** By path; a list is served in pages. A number is the status of an error. */
  readonly [path: string]: object | readonly object[] | number
}

export const API_KEY = 'rk_test_notakeyatall0000'

export function stripeApiOf(answers: StripeAnswers): { fetcher: typeof fetch; asked: Asked[] } {
  const asked: Asked[] = []
  const fetcher: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    const url = new URL(request.url)
    const query = Object.fromEntries(url.searchParams)
    asked.push({ path: url.pathname, query, authorization: request.headers.get('authorization') })
    const answer = request.headers.get('authorization') === `Bearer ${API_KEY}` ? answers[url.pathname] : 401
    if (answer === undefined) return problem(404)
    if (typeof answer === 'number') return problem(answer)
    return Array.isArray(answer) ? page(answer, url) : Response.json(answer)
  }
  return { fetcher, asked }
}

function page(all: readonly { id: string }[], url: URL): Response {
  const after = url.searchParams.get('starting_after')
  const limit = Math.min(Number(url.searchParams.get('limit') ?? 10), 100)
  const start = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1
  const data = all.slice(start, start + limit)
  return Response.json({ object: 'list', url: url.pathname, data, has_more: start + limit < all.length })
}

function problem(status: number): Response {
  const type = status === 429 || status >= 500 ? 'api_error' : 'invalid_request_error'
  return Response.json({ error: { type, code: status === 404 ? 'resource_missing' : undefined } }, { status })
}
