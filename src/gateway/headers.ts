/**
 * What crosses the gateway in a request's and an answer's headers. Pure.
 *
 * What the client claims about itself (`X-Forwarded-*`) is dropped and said anew from configuration and from the edge,
 * so that upstream can build its public addresses on it.
 */
import { type Config, preservesIssuer } from './config.ts'

/** RFC 9110 section 7.6.1, and the fields that name a proxy rather than the resource. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** What a request says of where it came from and of its own length; said anew, or by the runtime. */
const OF_THE_CONNECTION = new Set(['content-length', 'forwarded', 'host', 'true-client-ip', 'x-real-ip'])

/** Header fields in the order of the wire; one name may occur several times. */
export type HeaderFields = [name: string, value: string][]

/** The client's headers, made ready for upstream. */
export function requestHeaders(headers: Headers, config: Config): HeaderFields {
  const { host, protocol } = new URL(config.issuer)
  const forwarded = endToEnd(headers).filter(
    ([name]) => !OF_THE_CONNECTION.has(name) && !name.startsWith('x-forwarded-') && !name.startsWith('cf-'),
  )
  const clientIp = headers.get('cf-connecting-ip')
  if (clientIp !== null) forwarded.push(['x-forwarded-for', clientIp])
  forwarded.push(['x-forwarded-host', host], ['x-forwarded-proto', protocol.slice(0, -1)])
  return forwarded
}

/** Upstream's answer for the client: same status, same stream. */
export const passThrough = (response: Response, config: Config): Response =>
  new Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers: responseHeaders(response.headers, config),
  })

/** Upstream's headers, made ready for the client. */
export const responseHeaders = (headers: Headers, config: Config): HeaderFields =>
  endToEnd(headers).map(([name, value]) => [
    name,
    name === 'location' ? rewriteLocation(value, config) : value,
  ])

/** Without the connection's own fields, and those that it names. */
function endToEnd(headers: Headers): HeaderFields {
  const named = headers.get('connection')?.toLowerCase().split(/[ ,]+/) ?? []
  return [...headers].filter(([name]) => !HOP_BY_HOP.has(name) && !named.includes(name)) as HeaderFields
}

/**
 * A redirect to upstream comes back to the gateway, and the `iss` of an authorization response (RFC 9207) names the
 * issuer that the client asked. Everything else in it stays as upstream wrote it.
 */
export function rewriteLocation(location: string, config: Config): string {
  const { origin, issuer } = config.upstream
  let rewritten = location
  for (const name of [origin, new URL(issuer).origin]) {
    if (rewritten === name || /^[/?#]/.test(rewritten.startsWith(name) ? rewritten.slice(name.length) : '')) {
      rewritten = config.issuer + rewritten.slice(name.length)
      break
    }
  }
  if (preservesIssuer(config)) return rewritten
  return rewritten.replace(/([?&#]iss=)([^&#]*)/g, (whole, prefix: string, value: string) =>
    decodeParameter(value) === issuer ? prefix + encodeURIComponent(config.tokenIssuer) : whole,
  )
}

function decodeParameter(value: string): string | undefined {
  try {
    return decodeURIComponent(value.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
