/**
 * Fetches the discovery document of the upstream identity provider once, so that somebody who starts a gateway by hand
 * learns that it is in front of nothing, or of the wrong thing, before the first log-in fails.
 */
import type { Config } from '../../src/gateway/config.ts'
import { discoveryPaths } from '../../src/gateway/http/paths.ts'

const TIMEOUT_MS = 5000

/** @returns what is wrong with upstream, or `null` */
export async function upstreamProblem({ upstream }: Config): Promise<string | null> {
  const paths =
    upstream.profile === 'workos' ? [`/sso/jwks/${upstream.clientIds[0]}`] : discoveryPaths(upstream.issuer)
  const failures: string[] = []
  for (const path of paths) {
    const answer = await fetchJson(upstream.origin + path)
    if (typeof answer === 'string') {
      failures.push(`${upstream.origin}${path}: ${answer}`)
      continue
    }
    if (upstream.profile === 'workos' || upstream.issuers.includes(String(answer.issuer))) return null
    return `${upstream.origin} calls itself ${answer.issuer}, which is not UPSTREAM_ISSUER (${upstream.issuer}). Until they agree, nobody can log in.`
  }
  return `Upstream does not respond as it should. Until it does, nobody can log in:\n${failures.map((failure) => `  ${failure}`).join('\n')}`
}

/** The document, or why it could not be read. */
async function fetchJson(url: string): Promise<{ issuer?: unknown } | string> {
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (response.status !== 200) return `status ${response.status}`
    const document: unknown = await response.json()
    return typeof document === 'object' && document !== null ? document : 'is not a JSON object'
  } catch (error) {
    const { name, message, cause } = error as Error & { cause?: { code?: string } }
    if (name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`
    return cause?.code ?? (name === 'SyntaxError' ? 'is not JSON' : message)
  }
}
