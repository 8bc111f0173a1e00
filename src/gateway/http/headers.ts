/**
 * What crosses the gateway in the headers of requests and responses. Pure.
 *
 * What the client claims about itself (`X-Forwarded-*`) is dropped and set again from configuration and from the edge, so
 * that upstream can build its public addresses on it.
 */
import { type Config, preservesIssuer } from '../config.ts'

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

/** A request's length and target, which the runtime sets again. */
const OF_THE_MESSAGE = new Set(['content-length', 'host'])

/**
 * Headers that only a proxy that upstream trusts may set: the address and certificate of the client (RFC 9440), the user who
 * is logged in, and the original request. The gateway is that proxy now, so a client must not set them. The list holds
 * those known from proxies, clouds and frameworks; `STRIP_HEADERS` adds to it.
 */
const OF_A_TRUSTED_PROXY = new RegExp(
  `^(${[
    // Addresses.
    ...['forwarded', 'client-ip', 'true-client-ip', 'remote-.*', 'wl-proxy-.*', 'fastly-client-.*', 'cf-.*'],
    ...[
      'x-forwarded.*',
      'x-real-ip',
      'x-client-ip',
      'x-cluster-client-ip',
      'x-remote-.*',
      'x-originating-.*',
    ],
    ...[
      'x-azure-.*',
      'x-appengine-.*',
      'x-envoy-.*',
      'x-proxyuser-.*',
      'cloudfront-.*',
      'fly-.*',
      'incap-.*',
    ],
    ...['x-vercel-.*', 'x-nf-.*', 'x-sucuri-.*', 'do-connecting-ip'],
    // Certificates.
    ...['client-cert.*', 'ssl-.*', 'x-(ssl-)?client-.*', 'x-ssl.*', 'x-tls-.*', 'x-arr-.*', 'x-amzn-mtls-.*'],
    // Who was logged in.
    ...['x-amzn-oidc-.*', 'x-ms-client-principal.*', 'x-ms-token-.*', 'x-goog-authenticated-user-.*'],
    ...['x-goog-iap-.*', 'x-auth-request-.*', 'x-webauth-.*', 'x-authenticated-.*', 'x-authentik-.*'],
    ...[
      'x-consumer-.*',
      'x-credential-.*',
      'x-pomerium-.*',
      'x-vouch-.*',
      'x-token-subject',
      'x-proxy-user.*',
    ],
    ...[
      'sm-.*',
      'iv-.*',
      'oam-.*',
      'shib-.*',
      'oidc-.*',
      'x-userinfo',
      'x-id-token',
      'x-jwt-(payload|claim-.*)',
    ],
    ...['x-(endpoint|apigateway)-api-userinfo', 'tailscale-.*', 'teleport-.*'],
    // What was asked for.
    'x-zitadel-(public-host|instance-host|forwarded)',
    ...[
      'x-host',
      'x-http-host-override',
      'x-original-.*',
      'x-rewrite-url',
      'x-prefix',
      'x-scheme',
      'x-url-scheme',
    ],
    ...['x-script-name', 'front-end-https', 'x-https', 'x-accel-.*', 'x-sendfile-type'],
  ].join('|')})$`,
)

/** Headers by which some frameworks override the method, which the gateway would not see. */
const OF_ANOTHER_METHOD = /^x-(http-)?method(-override)?$/

/** For the gateway alone: `Remint-Min-Version`. */
const OURS = /^remint-/

/** The client's headers, prepared for upstream. */
export function requestHeaders(headers: Headers, config: Config): Headers {
  const forwarded = endToEnd(headers, (name) => isNotForUpstream(name, config))
  const clientIp = headers.get('cf-connecting-ip')
  if (clientIp !== null) forwarded.set('x-forwarded-for', clientIp)
  for (const [name, value] of Object.entries(publicAddress(config))) forwarded.set(name, value)
  return forwarded
}

/** The address by which clients know upstream. */
function publicAddress({ issuer }: Config): Record<string, string> {
  const [protocol, host] = issuer.split('://') as [string, string]
  return { 'x-forwarded-host': host, 'x-forwarded-proto': protocol }
}

/** The same for a document of upstream that the gateway fetches for itself. */
export const documentHeaders = (url: string, config: Config): Record<string, string> =>
  new URL(url).origin === config.upstream.origin ? publicAddress(config) : {}

/** The same for a token request, whose response must be readable for the pipeline. */
export function tokenRequestHeaders(headers: Headers, config: Config): Headers {
  const forwarded = requestHeaders(headers, config)
  for (const name of ['accept-charset', 'range']) forwarded.delete(name)
  forwarded.set('accept', 'application/json')
  forwarded.set('accept-encoding', 'gzip')
  return forwarded
}

/** CGI and its successors cannot distinguish `_` from `-`. */
function isNotForUpstream(name: string, { stripHeaders }: Config): boolean {
  const dashed = name.replaceAll('_', '-')
  const isKnown = OF_A_TRUSTED_PROXY.test(dashed) || OF_ANOTHER_METHOD.test(dashed) || OURS.test(dashed)
  return OF_THE_MESSAGE.has(name) || isKnown || stripHeaders.includes(dashed)
}

/** Upstream's response for the client: same status, same stream. */
export const passThrough = (response: Response, config: Config): Response =>
  new Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers: responseHeaders(response.headers, config),
  })

/** Upstream's headers, prepared for the client. */
export function responseHeaders(headers: Headers, config: Config): Headers {
  const returned = endToEnd(headers, () => false)
  const location = returned.get('location')
  if (location !== null) returned.set('location', rewriteLocation(location, config))
  const cookies = returned.getSetCookie()
  if (cookies.some((cookie) => OF_A_DOMAIN.test(cookie))) {
    returned.delete('set-cookie')
    for (const cookie of cookies) returned.append('set-cookie', ofTheGateway(cookie, config))
  }
  return returned
}

const OF_A_DOMAIN = /;\s*domain\s*=([^;]*)/i

/** A browser would refuse a cookie for a domain of upstream's that the gateway is not in, so it gets the gateway's host. */
function ofTheGateway(cookie: string, { issuer, upstream }: Config): string {
  const domain = OF_A_DOMAIN.exec(cookie)?.[1]?.trim().replace(/^\./, '').toLowerCase() ?? ''
  const isOver = (url: string) => `.${new URL(url).hostname}`.endsWith(`.${domain}`)
  const isUpstreams = [upstream.origin, upstream.issuer].some(isOver) && !isOver(issuer)
  return isUpstreams ? cookie.replace(OF_A_DOMAIN, '') : cookie
}

/** Without the connection's own fields, those that it names, and others to drop. */
function endToEnd(headers: Headers, isDropped: (name: string) => boolean): Headers {
  const kept = new Headers(headers)
  const named = headers.get('connection')?.toLowerCase().split(/[ ,]+/) ?? []
  for (const name of headers.keys()) {
    if (HOP_BY_HOP.has(name) || named.includes(name) || isDropped(name)) kept.delete(name)
  }
  return kept
}

/**
 * A redirect to upstream is rewritten to the gateway, and the `iss` of an authorization response (RFC 9207) names the
 * issuer that the client used. Everything else in it stays as upstream wrote it.
 */
export function rewriteLocation(location: string, config: Config): string {
  const { origin, issuer } = config.upstream
  const [target = ''] = /^(https?:)?\/\/[^/?#\\]*/i.exec(location) ?? []
  const named = target !== '' && URL.canParse(target, origin) ? new URL(target, origin).origin : undefined
  const isUpstreams = named === origin || named === new URL(issuer).origin
  const rewritten = isUpstreams ? config.issuer + location.slice(target.length) : location
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
