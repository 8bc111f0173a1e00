/** A guard whose fetches reach a gateway under test, or answers of the test's. */
import { createGuard, type Guard, type GuardDecision, type GuardOptions } from '../../../src/guard/index.ts'
import { GATEWAY, type Setup } from '../../gateway/support/gateway.ts'
import { AUDIENCE } from '../../gateway/support/upstream.ts'

export const requestWith = (token?: string, scheme = 'Bearer'): Request =>
  new Request('https://api.test/reports', {
    headers: token === undefined ? {} : { authorization: `${scheme} ${token}` },
  })

type Answer = (init: RequestInit) => Response | Promise<Response>

/**
 * @param answers - by path, in place of the gateway's own
 */
export function guardOf(
  setup: Setup,
  options: Partial<GuardOptions> = {},
  answers: Record<string, Answer> = {},
): Guard & { readonly asked: string[]; readonly decisions: GuardDecision[] } {
  const asked: string[] = []
  const decisions: GuardDecision[] = []
  const guard = createGuard({
    issuer: GATEWAY,
    audience: AUDIENCE,
    now: () => setup.now,
    onDecision: (decision) => decisions.push(decision),
    fetch: async (input, init) => {
      const { pathname } = new URL(String(input))
      asked.push(pathname)
      return (await answers[pathname]?.(init as RequestInit)) ?? setup.request(pathname, init as RequestInit)
    },
    ...options,
  })
  return { ...guard, asked, decisions }
}

export const JWKS = '/.well-known/jwks.json'
