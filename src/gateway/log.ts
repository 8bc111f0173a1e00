/**
 * One structured line a request: the only place that writes to the console.
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
  /** Why the answer is not what the client asked for: a named reason. */
  reason?: string
  /** The service that asked, by its configured name. */
  caller?: string
  /** How a refresh came by upstream's answer. */
  session?: SessionPath
  /** How the access token in the answer came about. */
  access_token?: 'minted' | 'opaque' | 'withheld' | 'other'
  /** Why an ID token was left as it was. */
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
  /** Where a bug is. */
  stack?: string[]
  /** What somebody should look at, though the request was served. */
  warnings?: string[]
}

/** Faults of ours or of upstream's are errors; what a client did wrong is not. */
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
