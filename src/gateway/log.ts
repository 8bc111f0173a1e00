/**
 * One structured line per request: the only place that writes to the console.
 *
 * The type is the allow-list of what may be logged. There is no member that could hold a token, a claim set, a header
 * or a query; a path is named by its route, because paths of password resets and magic links are secrets.
 */
import type { EntitlementSource } from '../core/claims.ts'
import type { SessionPath } from './sessions/call.ts'

export type Route =
  | ('config' | 'healthz' | 'jwks' | 'discovery' | 'token' | 'revoke' | 'logout' | 'authorize' | 'proxy')
  | ('verify' | 'guard' | 'introspect' | 'authzen' | 'ofrep' | 'rpc')

export interface LogLine {
  readonly request_id: string
  readonly method: string
  route: Route
  status?: number
  duration_ms?: number
  /** Why the request was refused or failed: a named reason. */
  reason?: string
  /** The calling service, by its configured name. */
  caller?: string
  /** How a refresh got upstream's answer. */
  session?: SessionPath
  /** What happened to the access token. */
  access_token?: 'minted' | 'opaque' | 'withheld' | 'other'
  /** Why an ID token was not changed. */
  id_token?: string
  jti?: string
  kid?: string
  src?: EntitlementSource
  ver?: string
  flags?: number
  upstream_status?: number
  upstream_ms?: number
  lookup_ms?: number
  mint_ms?: number
  /** The place of a bug. */
  stack?: string[]
  /** Problems to look at, although the request was served. */
  warnings?: string[]
}

/** Faults of the gateway or upstream are errors; mistakes of a client are not. */
export function writeLog(line: LogLine): void {
  const text = JSON.stringify({ level: levelOf(line), ...line })
  if ((line.status ?? 0) >= 500) console.error(text)
  else console.info(text)
}

export function warn(line: LogLine, warning: string): void {
  line.warnings = [...(line.warnings ?? []), warning]
}

function levelOf({ status = 0, warnings, src }: LogLine): 'error' | 'warn' | 'info' {
  if (status >= 500) return 'error'
  return warnings || src === 'stale' || src === 'degraded' ? 'warn' : 'info'
}
