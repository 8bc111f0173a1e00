/**
 * How a source reads its vars: each has its own, so that a new source needs only its folder and a line in `index.ts`. Problems
 * are reported by name, and never with a value. Pure.
 */
import * as z from 'zod'
import { isSecureUrl } from '../../../core/secure_url.ts'
import type { Source } from './source.ts'

export type Vars = Readonly<Record<string, unknown>>

export interface SourceContext {
  /** In the order of promotion. */
  readonly environments: readonly string[]
  /** For requests to the APIs of sources. */
  readonly fetcher: typeof fetch
}

/** A kind of source: its endpoints, by the path behind `/webhooks/`, as far as its vars are set. */
export type SourceKind = (vars: Vars, context: SourceContext) => Configured

export interface Configured {
  readonly endpoints: readonly (readonly [path: string, source: Source])[]
  readonly problems: readonly string[]
}

export const NONE: Configured = { endpoints: [], problems: [] }

/**
 * Reads the vars of a source; `undefined` if its secrets are not set.
 *
 * @param first - the var that turns the source on; without it the others have no effect
 */
export function configured<S extends z.ZodObject>(
  vars: Vars,
  first: keyof z.output<S> & string,
  schema: S,
  make: (read: z.output<S>) => Configured['endpoints'],
): Configured {
  const set = Object.keys(schema.shape).filter((name) => vars[name] !== undefined)
  if (set.length === 0) return NONE
  if (vars[first] === undefined)
    return { endpoints: [], problems: set.map((name) => `${first}: is required with ${name}`) }
  const read = schema.safeParse(vars)
  if (read.success) return { endpoints: make(read.data), problems: [] }
  return {
    endpoints: [],
    problems: read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`),
  }
}

const MAX_SECRETS = 4
/** A secret as its sender shows it: no spaces, and not a placeholder. */
const ANY_SECRET = /^[\x21-\x7e]{16,256}$/

/** Several while one is rotated. @param form - of one; @param example - for the message */
export const secrets = (example: string, form: RegExp = ANY_SECRET) =>
  z
    .string()
    .transform((value) => value.split(',').map((secret) => secret.trim()))
    .refine(
      (values) => values.length <= MAX_SECRETS && values.every((value) => form.test(value)),
      `must be 1 to ${MAX_SECRETS} comma-separated secrets such as ${example}`,
    )

export const apiKey = z.string().regex(ANY_SECRET, 'must be a secret or restricted key').optional()

export const origin = (otherwise: string) =>
  z
    .string()
    .refine(
      (value) => isSecureUrl(value) && new URL(value).origin === value,
      'must be an https origin (http is accepted for localhost)',
    )
    .default(otherwise)
