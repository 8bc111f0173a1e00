/**
 * The name of a refresh: equal for two requests only if upstream would give both the same answer. Pure but for the HMAC.
 *
 * Everything that the client sent is in it unless it is known not to matter: an unknown parameter or header keeps two requests
 * apart instead of sharing an answer. A client that varies its headers loses the sharing, never its safety. Without the
 * pepper a name cannot be made or checked, so a list of objects reveals nothing about refresh tokens.
 */
import { base64url } from 'jose'

export interface NamedRequest {
  /** The `iss` of upstream's tokens. */
  readonly issuer: string
  /** The address of the request, query included. */
  readonly url: string
  /**
   * Every parameter of the body as it was written: refresh token, client, secret or assertion, scope, resource,
   * organization, others. Their order does not count, but the order of repeated parameters does.
   */
  readonly written: readonly (readonly [name: string, text: string])[]
  readonly headers: Headers
  /** The thumbprint of the key that a DPoP proof has proven. */
  readonly proofThumbprint: string | undefined
}

/**
 * Headers that are known not to change upstream's answer: about the network, the trace and the page, and those that are new
 * for every attempt. The DPoP proof is one of these; its key is in the name instead. `Origin` is not among them, because
 * the headers of an answer say whose page may read it.
 */
const WITHOUT_MEANING = new Set([
  ...[
    'user-agent',
    'referer',
    'priority',
    'dnt',
    'sec-gpc',
    'save-data',
    'upgrade-insecure-requests',
    'date',
  ],
  ...['cache-control', 'pragma', 'content-length', 'via', 'forwarded', 'dpop', 'idempotency-key'],
  ...['x-retry-count', 'x-retry-attempt', 'x-stainless-retry-count', 'amz-sdk-request'],
  ...['x-request-start', 'x-queue-start', 'x-timer', 'x-amz-cf-id', 'x-vercel-id', 'rndr-id', 'x-varnish'],
  ...['x-csrf-token', 'x-xsrf-token'],
  // Tracing: agents of browsers and proxies add a new one to every request.
  ...['traceparent', 'tracestate', 'traceresponse', 'baggage', 'b3', 'sentry-trace', 'correlation-context'],
  ...['newrelic', 'elastic-apm-traceparent', 'request-context', 'grpc-trace-bin', 'ms-cv', 'x-tt-logid'],
  ...['sw8', 'sw8-correlation', 'sw8-x', 'x-dtpc', 'x-dtreferer', 'adrum', 'adrum_0', 'adrum_1'],
  ...['singularityheader', 'eagleeye-rpcid'],
])
/** `X-Request-ID`, `X-B3-SpanId`, `client-request-id`, `x-ms-correlation-request-id`, and all that are named like these. */
const ID_OF_A_REQUEST =
  /(^|-)(request|trace|span|correlation|transaction|operation|invocation|session)-?(id|uuid)$/
const WITHOUT_MEANING_PREFIX =
  /^(accept$|accept-|sec-ch-|sec-fetch-|x-b3-|x-datadog-|x-forwarded-|x-newrelic-|x-instana-|x-honeycomb-|x-dynatrace|x-amzn-trace-|x-cloud-trace|x-trace-|ot-tracer-|ot-baggage-|uberctx-|jaeger-|x-ot-|x-lightstep-|x-scalyr-|x-ms-request-|datadog-|x-sentry-|x-posthog-|x-logrocket-)/

const isWithoutMeaning = (name: string): boolean =>
  WITHOUT_MEANING.has(name) || ID_OF_A_REQUEST.test(name) || WITHOUT_MEANING_PREFIX.test(name)

const encoder = new TextEncoder()

export const importPepper = (pepper: string): Promise<CryptoKey> =>
  crypto.subtle.importKey('raw', encoder.encode(pepper), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])

export async function nameOf(request: NamedRequest, pepper: CryptoKey): Promise<string> {
  const { issuer, url, proofThumbprint = null } = request
  // Sorting is stable, and only names are compared.
  const parameters = request.written.toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)))
  const headers = [...request.headers]
    .filter(([name]) => !isWithoutMeaning(name))
    .map((field) => JSON.stringify(field))
    .sort()
  const text = JSON.stringify(['remint refresh, format 1', issuer, url, parameters, headers, proofThumbprint])
  const mac = await crypto.subtle.sign('HMAC', pepper, encoder.encode(text))
  return base64url.encode(new Uint8Array(mac))
}
