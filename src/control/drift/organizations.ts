/**
 * Drift between what organizations pay for and what they have, a page of them at a time. Pure.
 *
 * What they have is what the gateway would compute: the rows, projected and evaluated. If a rule is the cause, it is one
 * finding for everybody it affects, with their number: a kill must not bury everything else.
 */
import type { Catalog, Contract } from '../../core/documents.ts'
import { evaluate } from '../../core/evaluate.ts'
import type { ContractRow, FlagRow, GrantRow, PlanRow, RuleRow } from '../db/rows.ts'
import { isInForce, planHolds } from '../effects/candidates.ts'
import { DAY_MS } from '../entities/fields.ts'
import { isPublished, projectCatalog, projectContract, projectGrant } from '../entities/projection.ts'
import { type About, call, contractCall, type Finding, finding, revokeCall } from './kinds.ts'

/** How long after its end a contract may keep its status before somebody should check with its source. */
const CLOSING_MS = DAY_MS
/** How many organizations a finding about many of them names. */
const MAX_EXAMPLES = 5

export interface OrganizationRows {
  /** Epoch milliseconds. */
  readonly now: number
  /** The strict environments: contracts must hold there. */
  readonly environments: readonly string[]
  readonly flags: readonly FlagRow[]
  readonly rules: readonly RuleRow[]
  readonly plans: readonly PlanRow[]
  readonly organizations: readonly string[]
  readonly contracts: readonly ContractRow[]
  /** Of organizations. */
  readonly grants: readonly GrantRow[]
}

/** A finding about many organizations, with those that were checked so far. */
export interface Tally {
  readonly finding: Finding
  readonly organizations: number
  readonly examples: readonly string[]
}

export interface OrganizationFindings {
  readonly findings: readonly Finding[]
  readonly tallies: readonly Tally[]
}

export function organizationFindings(rows: OrganizationRows): OrganizationFindings {
  const { environments, organizations, contracts, grants, now } = rows
  const contractsByOrg = Map.groupBy(contracts, ({ org }) => org)
  const grantsByOrg = Map.groupBy(grants, ({ subject_id, environment }) => `${environment}:${subject_id}`)
  const flags = new Map(rows.flags.map((flag) => [flag.key, flag]))
  const rules = new Map(rows.rules.map((rule) => [`${rule.environment}:${rule.flag}`, rule]))
  const sold = new Set(rows.plans.flatMap((plan) => plan.flags))
  const worlds = environments.map((environment) => ({
    environment,
    catalog: projectCatalog(environment, rows, { version: 0, changed_at: '' }),
  }))
  const findings: Finding[] = []
  const tallies = new Map<string, Tally>()
  for (const org of organizations) {
    const own = contractsByOrg.get(org) ?? []
    findings.push(...contractFindings(own, { ...rows, flagsByKey: flags, sold }))
    for (const { environment, catalog } of worlds) {
      const granted = grantsByOrg.get(`${environment}:${org}`) ?? []
      const found = accessFindings({ org, environment, catalog, own, granted, sold, flags, rules, now })
      findings.push(...found.findings)
      for (const one of found.tallied) add(tallies, { finding: one, organizations: 1, examples: [org] })
    }
  }
  return { findings, tallies: [...tallies.values()] }
}

/** Adds the findings of a page to those of the pages before. */
export function add(tallies: Map<string, Tally>, { finding: one, organizations, examples }: Tally): void {
  const before = tallies.get(one.id)
  tallies.set(one.id, {
    finding: one,
    organizations: (before?.organizations ?? 0) + organizations,
    examples: [...(before?.examples ?? []), ...examples].slice(0, MAX_EXAMPLES),
  })
}

export const tallied = ({ finding: one, organizations, examples }: Tally): Finding => ({
  ...one,
  evidence: { ...one.evidence, organizations, examples },
})

interface Subject {
  readonly org: string
  readonly environment: string
  readonly catalog: Catalog
  readonly own: readonly ContractRow[]
  readonly granted: readonly GrantRow[]
  readonly sold: ReadonlySet<string>
  readonly flags: ReadonlyMap<string, FlagRow>
  readonly rules: ReadonlyMap<string, RuleRow>
  readonly now: number
}

function accessFindings(subject: Subject): { findings: Finding[]; tallied: Finding[] } {
  const { org, environment, catalog, own, granted, sold, flags, rules, now } = subject
  const contracts = own.map(projectContract)
  const funded = fundedBy(catalog, contracts, now)
  const document = {
    format: 1 as const,
    version: 0,
    published_at: '',
    not_before: 0,
    org_id: org,
    contracts,
    grants: granted.map(projectGrant),
  }
  const open = granted.filter((grant) => isOpen(grant, now))
  const findings: Finding[] = []
  const tallied: Finding[] = []
  for (const { flag, on, reason } of evaluate(catalog, { orgId: org, org: document }, now).decisions) {
    const contract = funded.get(flag)
    const rule = rules.get(`${environment}:${flag}`)
    const place = { environment, flag }
    if (on && contract === undefined && flags.get(flag)?.kind === 'entitlement') {
      if (reason === 'rule_all' || reason === 'rollout') {
        if (sold.has(flag)) tallied.push(finding('granted_without_contract', givenAway(place, reason, rule)))
        continue
      }
      const forever = open.filter((one) => one.flag === flag && one.effect === 'allow' && one.to === null)
      findings.push(...forever.map(grantWithoutContract))
    }
    if (on || contract === undefined) continue
    if (reason === 'killed' || reason === 'rule_none') {
      tallied.push(finding('contract_without_access', closed(place, reason, rule)))
    } else {
      const denials = open.filter((one) => one.flag === flag && one.effect === 'deny')
      for (const { id, source, to, ticket } of denials) {
        findings.push(
          finding('contract_without_access', {
            environment,
            org,
            flag,
            detail: [id],
            evidence: { because: 'denied', contract, grant: id, source, to, ticket },
            repair: revokeCall(id, 'contract_without_access'),
          }),
        )
      }
    }
  }
  return { findings, tallied }
}

/** For a grant without an end, also one of a user, because contracts are about organizations only. */
export function grantWithoutContract(grant: GrantRow): Finding {
  const { id, environment, flag, source, from, subject_kind, subject_id, created_by } = grant
  return finding('granted_without_contract', {
    environment,
    flag,
    detail: [...(subject_kind === 'user' ? [subject_id] : []), id],
    ...(subject_kind === 'org' && { org: subject_id }),
    evidence: { grant: id, source, from, to: null, [subject_kind]: subject_id, created_by },
    repair: revokeCall(id, 'granted_without_contract'),
  })
}

const givenAway = (
  place: { environment: string; flag: string },
  because: string,
  rule: RuleRow | undefined,
): About => ({
  ...place,
  evidence: { because, access: rule?.access, percentage: rule?.percentage },
  repair: call(
    'PUT',
    ['flags', place.flag, 'rules', place.environment],
    'granted_without_contract',
    { access: 'some' },
    rule?.revision ?? 0,
  ),
})

function closed(
  place: { environment: string; flag: string },
  because: 'killed' | 'rule_none',
  rule: RuleRow | undefined,
): About {
  const path = ['flags', place.flag, 'rules', place.environment]
  return {
    ...place,
    evidence: { because, since: rule?.updated_at ?? null },
    repair:
      because === 'killed'
        ? call('POST', [...path, 'revive'], 'contract_without_access')
        : call('PUT', path, 'contract_without_access', { access: 'some' }, rule?.revision ?? 0),
  }
}

/** The published flags that contracts in force hold, each with one such contract. */
function fundedBy(catalog: Catalog, contracts: readonly Contract[], now: number): Map<string, string> {
  const held = new Map<string, string>()
  for (const contract of contracts) {
    if (!isInForce(contract, now)) continue
    const { id, plan, add: addOns } = contract
    const inPlan = plan !== null && Object.hasOwn(catalog.plans, plan) ? (catalog.plans[plan] ?? []) : []
    for (const flag of [...inPlan, ...addOns]) if (Object.hasOwn(catalog.flags, flag)) held.set(flag, id)
  }
  return held
}

/** Whether a published contract grants anything. */
export const holdsAny = (catalog: Catalog, { plan, add: addOns }: Contract): boolean =>
  Object.keys(catalog.flags).some(
    (flag) => addOns.includes(flag) || (plan !== null && planHolds(catalog, plan, flag)),
  )

interface Sold extends OrganizationRows {
  readonly flagsByKey: ReadonlyMap<string, FlagRow>
  readonly sold: ReadonlySet<string>
}

function contractFindings(contracts: readonly ContractRow[], rows: Sold): Finding[] {
  const known = new Set(rows.plans.map(({ key }) => key))
  return contracts.flatMap((contract) => {
    if (!isInForce(projectContract(contract), rows.now)) return notClosed(contract, rows.now)
    const { id, org, plan } = contract
    const missing =
      plan === null || known.has(plan)
        ? []
        : [
            finding('plan_contract_mismatch', {
              org,
              detail: ['contract', id, 'plan'],
              evidence: { contract: id, plan },
              repair: call('POST', ['plans'], 'plan_contract_mismatch', { key: plan, name: plan, flags: [] }),
            }),
          ]
    return [...missing, ...contract.add.flatMap((flag) => addOnFindings(contract, flag, rows))]
  })
}

function addOnFindings(contract: ContractRow, key: string, { flagsByKey, sold }: Sold): Finding[] {
  const { id, org } = contract
  const flag = flagsByKey.get(key)
  if (flag && isPublished(flag)) return []
  const about = { org, flag: key, detail: ['contract', id] }
  const evidence = { contract: id, add_on: key, state: flag?.state ?? 'unknown' }
  const kind = flag?.state === 'retired' ? 'retired_flag_granted' : 'plan_contract_mismatch'
  // A draft that may go live was sold too early; no other unpublished flag can be delivered.
  const sellable = flag?.state === 'draft' && (flag.no_plan_reason !== null || sold.has(key))
  const repair =
    sellable && flag
      ? call('POST', ['flags', key, 'state'], kind, { state: 'live' }, flag.revision)
      : contractCall(
          contract,
          { add: contract.add.filter((one) => one !== key && flagsByKey.has(one)) },
          kind,
        )
  return [finding(kind, { ...about, evidence, repair })]
}

/** It grants nothing any more, but its source never reported its end: a renewal may have been lost. */
function notClosed(contract: ContractRow, now: number): Finding[] {
  const { id, org, status, to } = contract
  const holds = ['trialing', 'active', 'past_due'].includes(status)
  if (!holds || to === null || Date.parse(to) + CLOSING_MS > now) return []
  return [
    finding('expired_contract_granting', {
      severity: 'metadata',
      org,
      detail: ['contract', id],
      evidence: { contract: id, status, to, source: contract.source },
      repair: contractCall(contract, { status: 'expired' }, 'expired_contract_granting'),
    }),
  ]
}

export const isOpen = ({ from, to }: { from: string; to: string | null }, now: number): boolean =>
  Date.parse(from) <= now && (to === null || now < Date.parse(to))
