/**
 * Rows of D1 -> the documents that the gateway reads. Pure, and the only place that knows both.
 *
 * A projection depends only on the rows, the version and the instant of the change, so that publishing, rebuilding and
 * reading back always give the same bytes. Rows that had ended by then are left out, which keeps documents small.
 */
import {
  type Catalog,
  type Contract,
  catalogKey,
  DOCUMENT_FORMAT,
  type Grant,
  type OrgDocument,
  orgKey,
  type Rule,
  type UserDocument,
  userKey,
} from '../../core/documents.ts'
import type { ContractRow, FlagRow, GrantRow, OrganizationRow, PlanRow, RuleRow } from '../db/rows.ts'

export interface Stamp {
  readonly version: number
  /** RFC 3339: the time of the change. */
  readonly changed_at: string
}

export type RuleColumns = Pick<RuleRow, 'flag' | 'environment' | 'access' | 'percentage' | 'killed'>
export type ContractColumns = Omit<ContractRow, 'source' | 'updated_at' | 'revision'>
export type GrantColumns = Pick<
  GrantRow,
  'id' | 'environment' | 'subject_kind' | 'subject_id' | 'flag' | 'effect' | 'source' | 'from' | 'to'
>

/** A flag is in the catalog while it is live or retiring. */
export const isPublished = (flag: Pick<FlagRow, 'state'>): boolean =>
  flag.state === 'live' || flag.state === 'retiring'

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export function projectCatalog(
  environment: string,
  rows: {
    readonly flags: readonly Pick<FlagRow, 'key' | 'kind' | 'state'>[]
    readonly rules: readonly RuleColumns[]
    readonly plans: readonly Pick<PlanRow, 'key' | 'flags'>[]
  },
  stamp: Stamp,
): Catalog {
  const rules = new Map(
    rows.rules.filter((rule) => rule.environment === environment).map((rule) => [rule.flag, rule]),
  )
  const published = rows.flags.filter(isPublished).sort((a, b) => byText(a.key, b.key))
  const keys = new Set(published.map(({ key }) => key))
  return {
    ...header(stamp),
    environment,
    flags: Object.fromEntries(published.map(({ key, kind }) => [key, projectRule(kind, rules.get(key))])),
    plans: Object.fromEntries(
      rows.plans
        .map(({ key, flags }): [string, string[]] => [
          key,
          flags.filter((flag) => keys.has(flag)).sort(byText),
        ])
        .sort(([a], [b]) => byText(a, b)),
    ),
  }
}

function projectRule(kind: Rule['kind'], rule: RuleColumns | undefined): Rule {
  if (!rule) return { kind, access: 'none' }
  const { access, percentage, killed } = rule
  return { kind, access, ...(percentage !== null && { percentage }), ...(killed && { killed }) }
}

export const projectOrg = (
  org: Pick<OrganizationRow, 'id' | 'not_before'>,
  contracts: readonly ContractColumns[],
  grants: readonly GrantColumns[],
  stamp: Stamp,
): OrgDocument => ({
  ...header(stamp),
  org_id: org.id,
  contracts: lasting(contracts, stamp).map(projectContract),
  grants: lasting(grants, stamp).map(projectGrant),
  not_before: org.not_before,
})

export const projectUser = (userId: string, grants: readonly GrantColumns[], stamp: Stamp): UserDocument => ({
  ...header(stamp),
  user_id: userId,
  grants: lasting(grants, stamp).map(projectGrant),
  not_before: 0,
})

export const projectContract = ({
  id,
  plan,
  status,
  from,
  to,
  add,
  grace_until,
}: ContractColumns): Contract => ({
  id,
  plan,
  status,
  from,
  to,
  add,
  ...(grace_until !== null && { grace_until }),
})

export const projectGrant = ({ id, flag, effect, source, from, to }: GrantColumns): Grant => ({
  id,
  flag,
  effect,
  source,
  from,
  to,
})

const header = ({ version, changed_at }: Stamp) => ({
  format: DOCUMENT_FORMAT as 1,
  version,
  published_at: changed_at,
})

/** The rows that had not ended at the time of the change, in a stable order. */
const lasting = <T extends { id: string; to: string | null }>(
  rows: readonly T[],
  { changed_at }: Stamp,
): T[] => rows.filter(({ to }) => to === null || to > changed_at).sort((a, b) => byText(a.id, b.id))

export interface DocumentRef {
  readonly kind: 'catalog' | 'org' | 'user'
  readonly environment: string
  /** The organization's or the user's id; the environment of a catalog. */
  readonly subject: string
}

export function documentKey({ kind, environment, subject }: DocumentRef): string {
  switch (kind) {
    case 'catalog':
      return catalogKey(environment)
    case 'org':
      return orgKey(environment, subject)
    case 'user':
      return userKey(environment, subject)
  }
}
