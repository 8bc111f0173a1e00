/**
 * The KV documents: the whole contract between the gateway, which reads them, and the control plane, which writes
 * them. Pure: schemas, keys and parsing, no I/O.
 *
 * Unknown members are ignored, so that a newer writer does not stop an older reader; an unknown `format`, or a member
 * that is not what it should be, fails the whole document, because half of an entitlement document is a wrong one.
 */
import * as z from 'zod'
import { ENVIRONMENT_NAME, FLAG_KEY } from './names.ts'
import { err, ok, type Result } from './result.ts'

export const DOCUMENT_FORMAT = 1

const flagKey = z.string().regex(FLAG_KEY)
const instant = z.iso.datetime({ offset: false })
const version = z.int().nonnegative()
const subjectId = z.string().min(1)

/** A half-open window `[from, to)` in RFC 3339 UTC; `to: null` never ends. */
const window = { from: instant, to: instant.nullable() }

const header = {
  format: z.literal(DOCUMENT_FORMAT),
  version,
  published_at: instant,
}

export const ruleSchema = z.object({
  kind: z.enum(['entitlement', 'rollout']),
  access: z.enum(['none', 'some', 'all']),
  percentage: z.number().min(0).max(100).optional(),
  killed: z.boolean().optional(),
})

export const catalogSchema = z.object({
  ...header,
  environment: z.string().regex(ENVIRONMENT_NAME),
  flags: z.record(flagKey, ruleSchema),
  plans: z.record(z.string(), z.array(flagKey)),
})

export const contractSchema = z.object({
  id: z.string().min(1),
  plan: z.string().nullable(),
  status: z.string(),
  ...window,
  add: z.array(flagKey).default([]),
  grace_until: instant.nullable().optional(),
})

export const grantSchema = z.object({
  id: z.string().min(1),
  flag: flagKey,
  effect: z.enum(['allow', 'deny']),
  source: z.enum(['override', 'beta', 'support', 'import']),
  ...window,
})

export const orgDocumentSchema = z.object({
  ...header,
  org_id: subjectId,
  contracts: z.array(contractSchema),
  grants: z.array(grantSchema),
  not_before: z.int().nonnegative(),
})

export const userDocumentSchema = z.object({
  ...header,
  user_id: subjectId,
  grants: z.array(grantSchema),
  not_before: z.int().nonnegative().default(0),
})

export type Rule = z.infer<typeof ruleSchema>
export type Contract = z.infer<typeof contractSchema>
export type Grant = z.infer<typeof grantSchema>
export type Catalog = z.infer<typeof catalogSchema>
export type OrgDocument = z.infer<typeof orgDocumentSchema>
export type UserDocument = z.infer<typeof userDocumentSchema>

export const catalogKey = (environment: string): string => `catalog:${environment}`
export const orgKey = (environment: string, orgId: string): string => `org:${environment}:${orgId}`
export const userKey = (environment: string, userId: string): string => `user:${environment}:${userId}`

/** The denylist: a token by its `jti`, or all tokens of a session by its `sid`. An entry that exists denies. */
export const revokedKey = (environment: string, kind: 'sid' | 'jti', id: string): string =>
  `revoked:${environment}:${kind}:${id}`

/** @param until - epoch seconds from which on nothing that it denies can be valid any more */
export const revocationDocument = (until: number): string =>
  JSON.stringify({ format: DOCUMENT_FORMAT, until })

/** Epoch seconds; 0 where the entry, which denies all the same, does not say. */
export function parseRevokedUntil(text: string): number {
  try {
    const { until } = JSON.parse(text)
    return Number.isSafeInteger(until) ? until : 0
  } catch {
    return 0
  }
}

/**
 * Parses a document's text.
 *
 * @param owner - what the key promises: a document that sits under another one's key is refused, so that a publisher's
 *   mistake never hands one customer the entitlements of another.
 */
function parse<T>(
  schema: z.ZodType<T>,
  text: string,
  owner: (document: T) => boolean,
): Result<T, 'document_invalid'> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return err('document_invalid')
  }
  const parsed = schema.safeParse(json)
  return parsed.success && owner(parsed.data) ? ok(parsed.data) : err('document_invalid')
}

export const parseCatalog = (text: string, environment: string) =>
  parse(catalogSchema, text, (document) => document.environment === environment)

export const parseOrgDocument = (text: string, orgId: string) =>
  parse(orgDocumentSchema, text, (document) => document.org_id === orgId)

export const parseUserDocument = (text: string, userId: string) =>
  parse(userDocumentSchema, text, (document) => document.user_id === userId)
