/**
 * Cursor paging: a page says where the next one begins, so that rows that are added or removed meanwhile neither repeat nor
 * hide others. Pure.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'

export const MAX_PAGE_ROWS = 200
const DEFAULT_PAGE_ROWS = 50

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(MAX_PAGE_ROWS).default(DEFAULT_PAGE_ROWS),
  cursor: z.string().max(400).optional().openapi({ description: '`next_cursor` of the previous page.' }),
}

export const pageOf = <T extends z.ZodType>(row: T) =>
  z.object({ data: z.array(row), next_cursor: z.string().nullable() })

/** The key that the page starts after; `undefined` for the first page. */
export function afterCursor(cursor: string | undefined): Result<string | undefined, 'cursor_invalid'> {
  if (cursor === undefined) return ok(undefined)
  try {
    const bytes = Uint8Array.from(atob(cursor.replaceAll('-', '+').replaceAll('_', '/')), (c) =>
      c.charCodeAt(0),
    )
    return ok(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes))
  } catch {
    return err('cursor_invalid')
  }
}

/** @param rows - one more than the page holds, if there are more */
export function toPage<T>(rows: readonly T[], limit: number, key: (row: T) => string) {
  const data = rows.slice(0, limit)
  const last = data.at(-1)
  return { data, next_cursor: rows.length > limit && last !== undefined ? encode(key(last)) : null }
}

const encode = (key: string): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(key)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
