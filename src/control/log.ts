/**
 * One structured line a request, and one a fault of what works in the background: the only place that writes to the console.
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
  /** Why the answer is not what the client asked for: a named reason. */
  reason?: string
  /** Of an internal error: its kind and where it came up. */
  fault?: string
  /** SQL statements sent to D1. */
  statements?: number
  /** The `seq` of the audit row that the request wrote. */
  seq?: number
}

/** The change is safe in D1 and will be published, but somebody may want to look. */
export interface PublishingLine {
  readonly publisher: string
  readonly event: 'publish_failed' | 'repaired' | 'wake_failed'
  readonly documents?: number
}

/** How many messages, and nothing of what they say. */
export interface MintLogLine {
  readonly consumer: 'mint-log'
  /** `store_failed`: D1 did not take the batch, which comes again. `unreadable`: counted and let go. */
  readonly event: 'store_failed' | 'unreadable'
  readonly messages: number
  /** Deliveries of the batch so far. */
  readonly attempts?: number
  /** Which kind of error it was. */
  readonly fault?: string
}

/** A scheduled change that could not be applied at its time, or a step of a pass of drift; it is tried again. */
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
