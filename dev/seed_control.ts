/**
 * Seeds an empty control plane with what `seed.ts` says, through its API: every row has an audit row from the beginning.
 */
import type { ControlClient } from './control_client.ts'
import { seedCatalog, seedOrganizations } from './seed.ts'

const OWNERS: Record<string, string> = {
  'new-editor': 'team-editor',
  scim: 'team-identity',
  sso: 'team-identity',
}
const NAMES: Record<string, string> = { org_acme: 'Acme', org_globex: 'Globex' }
const reason = 'Seeded for local development'

/** @returns what was seeded; nothing if there was a flag already */
export async function seedControl(client: ControlClient): Promise<string[]> {
  const { data } = await client.get<{ data: object[] }>('/flags?limit=1')
  if (data.length > 0) return []
  const environment = 'production'
  const catalog = seedCatalog(environment)
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
    for (const name of ['staging', environment]) {
      await client.write('PUT', `/flags/${key}/rules/${name}`, { access, percentage, reason }, 0)
      if (killed) await client.write('POST', `/flags/${key}/rules/${name}/kill`, { reason })
    }
  }
  const organizations = seedOrganizations(Date.now())
  for (const { org_id: id, contracts, grants } of organizations) {
    await client.write('POST', '/orgs', { id, name: NAMES[id] ?? id, reason })
    for (const { id: contract, plan, status, from, to } of contracts) {
      const body = { plan, status, from, to, revision: 1, source: 'seed', reason }
      await client.write('PUT', `/orgs/${id}/contracts/${contract}`, body)
    }
    for (const { id: _, ...grant } of grants) {
      await client.write('POST', '/grants', { ...grant, environment, subject: { kind: 'org', id }, reason })
    }
  }
  return ['catalog', ...organizations.map(({ org_id }) => org_id)]
}
