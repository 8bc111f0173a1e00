/**
 * Seeds an empty control plane through its API, so every row has an audit row from the beginning. The content is that of the
 * state folder's documents, as after `npm run gateway`, or else of `seed.ts`.
 */
import type { Catalog, OrgDocument } from '../src/core/documents.ts'
import { ENVIRONMENT } from './commands.ts'
import type { ControlClient } from './control_client.ts'
import { openDocuments } from './local_kv.ts'
import { seedCatalog, seedOrganizations } from './seed.ts'

const OWNERS: Record<string, string> = {
  'new-editor': 'team-editor',
  scim: 'team-identity',
  sso: 'team-identity',
}
const NAMES: Record<string, string> = { org_acme: 'Acme', org_globex: 'Globex' }
const reason = 'Seeded for local development'

/** A grant in a local document may have no end; in the control plane it gets this one. */
const GRANT_MS = 30 * 86_400_000

/** @returns what was seeded; nothing if there are flags already */
export async function seedControl(client: ControlClient, state?: string): Promise<string[]> {
  const { data } = await client.get<{ data: object[] }>('/flags?limit=1')
  if (data.length > 0) return []
  const { catalog, organizations } = await contents(state)
  await seedFlags(client, catalog)
  for (const organization of organizations) await seedOrganization(client, organization)
  await client.settled(ENVIRONMENT)
  return ['catalog', ...organizations.map(({ org_id }) => org_id)]
}

async function contents(state: string | undefined) {
  const seeded = { catalog: seedCatalog(ENVIRONMENT), organizations: seedOrganizations(Date.now()) }
  if (state === undefined) return seeded
  const documents = await openDocuments(ENVIRONMENT, state)
  try {
    const catalog = await documents.catalog()
    if (catalog === null) return seeded
    const ids = await documents.organizations()
    const organizations = await Promise.all(ids.map((id) => documents.org(id)))
    return { catalog, organizations: organizations.filter((org) => org !== null) }
  } finally {
    await documents.close()
  }
}

async function seedFlags(client: ControlClient, catalog: Catalog): Promise<void> {
  const inPlans = new Set(Object.values(catalog.plans).flat())
  for (const [key, { kind }] of Object.entries(catalog.flags)) {
    const note = kind === 'entitlement' && !inPlans.has(key) ? { no_plan_reason: 'Sold as an add-on' } : {}
    const owner = OWNERS[key] ?? 'team-platform'
    await client.write('POST', '/flags', { key, name: key, kind, owner, ...note, reason })
  }
  for (const [key, flags] of Object.entries(catalog.plans)) {
    await client.write('POST', '/plans', { key, name: key, flags, reason })
  }
  for (const [key, { access, percentage = null, killed }] of Object.entries(catalog.flags)) {
    await client.write('POST', `/flags/${key}/state`, { state: 'live', reason }, 1)
    for (const name of ['staging', ENVIRONMENT]) {
      await client.write('PUT', `/flags/${key}/rules/${name}`, { access, percentage, reason }, 0)
      if (killed) await client.write('POST', `/flags/${key}/rules/${name}/kill`, { reason })
    }
  }
}

async function seedOrganization(client: ControlClient, document: OrgDocument): Promise<void> {
  const { org_id: id, contracts, grants } = document
  await client.write('POST', '/orgs', { id, name: NAMES[id] ?? id, reason })
  for (const { id: contract, plan, status, from, to, add } of contracts) {
    const body = { plan, status, from, to, add, revision: 1, source: 'seed', reason }
    await client.write('PUT', `/orgs/${id}/contracts/${contract}`, body)
  }
  for (const { id: _, to, ...grant } of grants) {
    const end = to ?? new Date(Date.now() + GRANT_MS).toISOString()
    if (Date.parse(end) <= Date.now()) continue
    const subject = { kind: 'org', id }
    await client.write('POST', '/grants', { ...grant, to: end, environment: ENVIRONMENT, subject, reason })
  }
}
