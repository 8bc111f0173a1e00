/**
 * Drift between D1 and KV: a published document beside the one that D1 gives. Pure.
 *
 * Evaluating both shows which one gives more, so that a document that only looks different is not reported as access
 * without a contract.
 */
import {
  type Catalog,
  type Contract,
  type Grant,
  type OrgDocument,
  parseCatalog,
  parseOrgDocument,
  parseUserDocument,
  type UserDocument,
} from '../../core/documents.ts'
import { evaluate } from '../../core/evaluate.ts'
import type { FlagRow, GrantRow } from '../db/rows.ts'
import { isInForce } from '../effects/candidates.ts'
import { type Finding, finding, rebuildCommand, type Severity } from './kinds.ts'
import { holdsAny, isOpen } from './organizations.ts'

/** A document in KV that differs from D1. */
export interface WrongDocument {
  readonly key: string
  readonly version: number
  /** The document that D1 gives. */
  readonly text: string
  /** The document in KV; `null`: it is missing. */
  readonly found: string | null
}

export interface PublishedContext {
  readonly environment: string
  /** Of the environment, from D1. */
  readonly catalog: Catalog
  readonly flags: readonly Pick<FlagRow, 'key' | 'state'>[]
  /** Epoch milliseconds. */
  readonly now: number
}

/** Grants by hand. */
const BY_HAND: readonly GrantRow['source'][] = ['override', 'beta', 'support']

export function publishedFindings(documents: readonly WrongDocument[], context: PublishedContext): Finding[] {
  return documents.flatMap((document) => {
    const { kind, subject } = namesOf(document.key)
    switch (kind) {
      case 'catalog':
        return catalogDrift(document, context)
      case 'org':
        return subjectDrift(document, context, subject, {
          org: subject,
          is: parsed(document.found, (text) => parseOrgDocument(text, subject)),
          should: parsed(document.text, (text) => parseOrgDocument(text, subject)),
          flagsOf: (org) => evaluate(context.catalog, { orgId: subject, org }, context.now).flags,
        })
      default:
        return subjectDrift(document, context, subject, {
          is: parsed(document.found, (text) => parseUserDocument(text, subject)),
          should: parsed(document.text, (text) => parseUserDocument(text, subject)),
          flagsOf: (user) => evaluate(context.catalog, { userId: subject, user }, context.now).flags,
        })
    }
  })
}

/** `org:production:org_a`; ids may have colons. */
function namesOf(key: string): { kind: string; subject: string } {
  const [kind = '', environment = ''] = key.split(':', 2)
  return { kind, subject: key.slice(kind.length + environment.length + 2) }
}

function parsed<T>(text: string | null, parse: (text: string) => { ok: boolean; value?: T }): T | null {
  return text === null ? null : (parse(text).value ?? null)
}

interface Sides<D> {
  readonly org?: string
  readonly is: D | null
  readonly should: D | null
  readonly flagsOf: (document: D | null) => readonly string[]
}

function subjectDrift<D extends OrgDocument | UserDocument>(
  document: WrongDocument,
  context: PublishedContext,
  subject: string,
  { org, is, should, flagsOf }: Sides<D>,
): Finding[] {
  const [published, due] = [new Set(flagsOf(is)), new Set(flagsOf(should))]
  const extra = [...published].filter((flag) => !due.has(flag))
  const missing = [...due].filter((flag) => !published.has(flag))
  const about = { document, context, ...(org !== undefined && { org }) }
  return [
    outOfStep({ ...about, state: stateOf(document, is), extra, missing }),
    ...endedContracts(contractsOf(is), contractsOf(should), context, subject),
    ...endedGrants(is?.grants ?? [], should?.grants ?? [], context, { org, subject }),
  ]
}

const contractsOf = (document: OrgDocument | UserDocument | null): readonly Contract[] =>
  document && 'contracts' in document ? document.contracts : []

const stateOf = ({ found }: WrongDocument, is: unknown): 'missing' | 'unreadable' | 'different' => {
  if (found === null) return 'missing'
  return is === null ? 'unreadable' : 'different'
}

interface OutOfStep {
  readonly document: WrongDocument
  readonly context: PublishedContext
  readonly org?: string
  readonly state: 'missing' | 'unreadable' | 'different'
  readonly extra: readonly string[]
  readonly missing: readonly string[]
}

function outOfStep({ document, context, org, state, extra, missing }: OutOfStep): Finding {
  const { key, version } = document
  const severity: Severity =
    extra.length > 0 ? 'over_grant' : missing.length > 0 || state !== 'different' ? 'under_grant' : 'metadata'
  return finding('kv_out_of_step', {
    severity,
    environment: context.environment,
    detail: [key],
    ...(org !== undefined && { org }),
    evidence: { document: key, version, state, extra: extra.toSorted(), missing: missing.toSorted() },
    repair: rebuildCommand(context.environment),
  })
}

function endedContracts(
  published: readonly Contract[],
  recorded: readonly Contract[],
  { environment, catalog, now }: PublishedContext,
  org: string,
): Finding[] {
  return published
    .filter((contract) => isInForce(contract, now) && holdsAny(catalog, contract))
    .flatMap((contract) => {
      const known = recorded.find(({ id }) => id === contract.id)
      if (known && isInForce(known, now)) return []
      const summaryOf = ({ status, to }: Contract) => ({ status, to })
      return finding('expired_contract_granting', {
        environment,
        org,
        detail: ['contract', contract.id],
        evidence: {
          contract: contract.id,
          published: summaryOf(contract),
          recorded: known ? summaryOf(known) : null,
        },
        repair: rebuildCommand(environment),
      })
    })
}

function endedGrants(
  published: readonly Grant[],
  recorded: readonly Grant[],
  { environment, now }: PublishedContext,
  { org, subject }: { org: string | undefined; subject: string },
): Finding[] {
  return published
    .filter((grant) => BY_HAND.includes(grant.source) && isOpen(grant, now))
    .filter(({ id }) => !recorded.some((known) => known.id === id && isOpen(known, now)))
    .map(({ id, flag, effect, source, to }) =>
      finding('override_ended_or_unticketed', {
        severity: effect === 'allow' ? 'over_grant' : 'under_grant',
        environment,
        flag,
        detail: [...(org === undefined ? [subject] : []), id, 'published'],
        ...(org !== undefined && { org }),
        evidence: {
          because: 'ended',
          grant: id,
          effect,
          source,
          published_to: to,
          recorded_to: recorded.find((known) => known.id === id)?.to ?? null,
        },
        repair: rebuildCommand(environment),
      }),
    )
}

function catalogDrift(document: WrongDocument, context: PublishedContext): Finding[] {
  const { environment, catalog } = context
  const is = parsed(document.found, (text) => parseCatalog(text, environment))
  const widths = Object.keys({ ...is?.flags, ...catalog.flags }).map((flag) => ({
    flag,
    difference: (is ? widthOf(is, flag) : 0) - widthOf(catalog, flag),
  }))
  const plans = Object.keys({ ...is?.plans, ...catalog.plans }).flatMap((plan) => {
    const [published, due] = [heldBy(is, plan), heldBy(catalog, plan)]
    return [
      ...published.filter((flag) => !due.includes(flag)).map((flag) => ({ flag, difference: 1 })),
      ...due.filter((flag) => !published.includes(flag)).map((flag) => ({ flag, difference: -1 })),
    ]
  })
  const differing = (sign: 1 | -1): string[] => [
    ...new Set(
      [...widths, ...plans].flatMap(({ flag, difference }) => (difference * sign > 0 ? [flag] : [])),
    ),
  ]
  const retired = context.flags.filter(
    ({ key, state }) => state === 'retired' && is && Object.hasOwn(is.flags, key),
  )
  return [
    outOfStep({
      document,
      context,
      state: stateOf(document, is),
      extra: differing(1),
      missing: differing(-1),
    }),
    ...retired.map(({ key }) =>
      finding('retired_flag_granted', {
        severity: 'over_grant',
        environment,
        flag: key,
        detail: ['catalog'],
        evidence: { document: document.key },
        repair: rebuildCommand(environment),
      }),
    ),
  ]
}

const heldBy = (catalog: Catalog | null, plan: string): readonly string[] =>
  catalog && Object.hasOwn(catalog.plans, plan) ? (catalog.plans[plan] ?? []) : []

/** How far a rule opens a flag: to nobody, to those with a grant or contract, to a percentage as well, to everybody. */
function widthOf({ flags }: Catalog, flag: string): number {
  const rule = Object.hasOwn(flags, flag) ? flags[flag] : undefined
  if (!rule || rule.killed || rule.access === 'none') return 0
  return rule.access === 'all' ? 1000 : 1 + (rule.percentage ?? 0)
}
