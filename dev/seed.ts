/**
 * The documents that a fresh checkout starts with: a catalog, three plans and two organizations.
 *
 * Only what is missing is written, so a developer's changes are kept. Dates are relative to the day of seeding, so that
 * the example beta always ends soon.
 */
import type { Catalog, Grant, OrgDocument } from '../src/core/documents.ts'
import { type LocalDocuments, openDocuments } from './local_kv.ts'

const DAY_MS = 24 * 3600 * 1000

/** Before their first publication; saving makes this version 1. */
const UNPUBLISHED = { format: 1, version: 0, published_at: new Date(0).toISOString() } as const

export const seedCatalog = (environment: string): Catalog => ({
  ...UNPUBLISHED,
  environment,
  flags: {
    'advanced-analytics': { kind: 'entitlement', access: 'some' },
    'audit-log': { kind: 'entitlement', access: 'some' },
    'csv-export': { kind: 'entitlement', access: 'all' },
    'legacy-export': { kind: 'entitlement', access: 'some', killed: true },
    'new-editor': { kind: 'rollout', access: 'some', percentage: 25 },
    'priority-support': { kind: 'entitlement', access: 'some' },
    scim: { kind: 'entitlement', access: 'some' },
    sso: { kind: 'entitlement', access: 'some' },
  },
  plans: {
    starter: [],
    team: ['audit-log', 'sso'],
    enterprise: ['advanced-analytics', 'audit-log', 'legacy-export', 'priority-support', 'sso'],
  },
})

export function seedOrganizations(now: number): OrgDocument[] {
  const organization = (id: string, contract: string, plan: string, grants: Grant[] = []): OrgDocument => ({
    ...UNPUBLISHED,
    org_id: id,
    contracts: [{ id: contract, plan, status: 'active', from: day(now, -200), to: day(now, 165), add: [] }],
    grants,
    not_before: 0,
  })
  return [
    organization('org_acme', 'C-1001', 'enterprise'),
    organization('org_globex', 'C-1002', 'starter', [
      {
        id: 'grant_beta',
        flag: 'new-editor',
        effect: 'allow',
        source: 'beta',
        from: day(now, -16),
        to: day(now, 14),
      },
    ]),
  ]
}

const day = (now: number, offset: number): string => new Date(now + offset * DAY_MS).toISOString()

/** @returns the names of the documents that were missing and are now written */
export async function seed(
  environment = 'production',
  persistTo?: string,
  organizations = true,
): Promise<string[]> {
  const documents = await openDocuments(environment, persistTo)
  try {
    return await seedMissing(documents, organizations)
  } finally {
    await documents.close()
  }
}

/** @param organizations - whether to write the demo's two organizations too, or only the catalog */
export async function seedMissing(documents: LocalDocuments, organizations = true): Promise<string[]> {
  const written: string[] = []
  if ((await documents.catalog()) === null) {
    await documents.saveCatalog(seedCatalog(documents.environment))
    written.push('catalog')
  }
  for (const organization of organizations ? seedOrganizations(Date.now()) : []) {
    if ((await documents.org(organization.org_id)) !== null) continue
    await documents.saveOrg(organization)
    written.push(organization.org_id)
  }
  return written
}
