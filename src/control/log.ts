/**
 * One structured line per request, and one per fault in the background: the only place that writes to the console.
 *
 * The type is the allow-list of what may be logged. There is no member that could hold a credential, a header, a query
 * or a body; a path is named by its route.
 */
export interface LogLine {
  readonly request_id: string
  readonly method: string
  /** The route's pattern: `/api/v1/flags/{flag}`. */
  route?: string
  status?: number
  duration_ms?: number
  /** Why the request was refused or failed: a named reason. */
  reason?: string
  /** An internal error: its kind and where it was thrown. */
  fault?: string
  /** SQL statements sent to D1. */
  statements?: number
  /** The `seq` of the audit row that the request wrote. */
  seq?: number
}

/** The change is safe in D1 and will be published, but somebody may want to check. */
export interface PublishingLine {
  readonly publisher: string
  readonly event: 'publish_failed' | 'repaired' | 'wake_failed'
  readonly documents?: number
}

/** The number of messages, without their content. */
export interface MintLogLine {
  readonly consumer: 'mint-log'
  /** `store_failed`: D1 did not take the batch; the queue retries. `unreadable`: counted and dropped. */
  readonly event: 'store_failed' | 'unreadable'
  readonly messages: number
  /** Deliveries of the batch so far. */
  readonly attempts?: number
  /** The kind of error. */
  readonly fault?: string
}

/** A scheduled change that could not be applied when due, or a failed step of a drift pass; both are retried. */
export interface SchedulingLine {
  readonly scheduler: string
  readonly event: 'apply_failed' | 'wake_failed' | 'drift_failed'
}

export function writeLog(line: LogLine): void {
  const failed = (line.status ?? 0) >= 500
  const text = JSON.stringify({ level: failed ? 'error' : 'info', ...line })
  if (failed) console.error(text)
  else console.info(text)
}

export const writeFault = (line: PublishingLine | SchedulingLine | MintLogLine): void =>
  console.warn(JSON.stringify({ level: 'warn', ...line }))
