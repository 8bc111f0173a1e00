/**
 * D1 behind drizzle, with a count of the statements sent, which every response shows in `Server-Timing`: a page whose
 * count grows with its rows is a bug that this makes visible.
 */
import { DrizzleQueryError } from 'drizzle-orm'
import { type DrizzleD1Database, drizzle } from 'drizzle-orm/d1'

export type Database = DrizzleD1Database<Record<string, never>>

export interface Connection {
  readonly db: Database
  /** Statements since the connection was opened. */
  statements(): number
}

/** Opens a connection; cheap enough for one per request. */
export function connect(d1: D1Database): Connection {
  let statements = 0
  const counting = new Proxy(d1, {
    get(target, name) {
      const member = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        if (name === 'prepare') statements++
        return Reflect.apply(member, target, args)
      }
    },
  })
  return { db: drizzle(counting), statements: () => statements }
}

/** Whether a batch failed because its audit row does not continue the chain: another write was faster. */
export const isOvertaken = (error: unknown): boolean =>
  isTaken(error, 'audit.seq') || messageOf(error).includes('the audit log only continues')

/** Whether a batch failed because another write used the same key first, such as `audit.seq`. */
export function isTaken(error: unknown, column: string): boolean {
  return messageOf(error).includes(`UNIQUE constraint failed: ${column}`)
}

function messageOf(error: unknown): string {
  const cause = error instanceof DrizzleQueryError ? error.cause : error
  return cause instanceof Error ? cause.message : ''
}
