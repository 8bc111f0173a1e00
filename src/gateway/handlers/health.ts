/**
 * `/healthz`: whether the gateway is configured, and what is known to be wrong with what it stands in front of.
 */
import type { Gateway } from '../gateway.ts'
import { NO_STORE } from '../http/answers.ts'
import type { RequestContext } from './request_context.ts'

/**
 * Liveness: always 200, because a load balancer that takes an isolate away repairs no identity provider. What is known to
 * be wrong is in the body; nothing is fetched for it.
 */
export function answerHealth({ request, gateway, log }: RequestContext): Response {
  log.route = 'healthz'
  const { config, profile } = gateway
  const problems = [profile.problem(), problemOfKeys(gateway)].filter((problem) => problem !== undefined)
  const { host } = new URL(request.url)
  const body = {
    status: problems.length === 0 ? 'ok' : 'degraded',
    ...(problems.length > 0 && { upstream: config.upstream.origin, problems }),
    ...(host !== new URL(config.issuer).host && {
      notes: [`This request came to ${host}. Clients use ISSUER, ${config.issuer}`],
    }),
  }
  return Response.json(body, { headers: NO_STORE })
}

function problemOfKeys({ config, keys }: Gateway): string | undefined {
  const { algorithms, origin } = config.upstream
  switch (keys.fault) {
    case 'keys_unusable':
      return `UPSTREAM_ALGORITHMS: no key in the key set of ${origin} is for signatures by ${algorithms.join(', ')}. Name the algorithm that the provider signs with`
    case 'keys_unreachable':
      return `UPSTREAM_ORIGIN: the key set of ${origin} cannot be fetched`
    default:
      return undefined
  }
}
