/**
 * The documents of an environment, read over the control plane's API and changed by its commands.
 *
 * The tools work with documents and replace an old one by a changed one. The difference between the two becomes commands,
 * each with its reason and its row in the audit log.
 */
import type { Catalog, Contract, Grant, OrgDocument, Rule, UserDocument } from '../../src/core/documents.ts'
import { type ControlClient, ControlError } from '../control_client.ts'

/** What the tools use of the documents. */
export interface Documents {
  readonly environment: string
  catalog(): Promise<Catalog | null>
  org(orgId: string): Promise<OrgDocument | null>
  user(userId: string): Promise<UserDocument | null>
  /** Ids of the organizations, sorted. */
  organizations(): Promise<string[]>
  saveCatalog(catalog: Catalog): Promise<void>
  saveOrg(document: OrgDocument): Promise<void>
  saveUser(document: UserDocument): Promise<void>
}

interface InventoryFlag {
  readonly key: string
  readonly kind: Rule['kind']
  readonly state: string
  readonly rules: readonly {
    readonly environment: string
    readonly access: Rule['access']
    readonly percentage: number | null
    readonly killed: boolean
    readonly revision: number
  }[]
}

const HEADER = { format: 1, version: 0, published_at: new Date(0).toISOString() } as const

/** @param why - for the audit log */
export function governedDocuments(
  client: ControlClient,
  environment: string,
  why: { readonly reason: string; readonly ticket?: string | undefined },
): Documents {
  const grantsOf = async (kind: 'org' | 'user', id: string): Promise<Grant[]> => {
    const query = new URLSearchParams({ environment, [kind]: id, active: 'true' })
    const grants = await client.all<Grant>(`/grants?${query}`)
    return grants.map(({ id, flag, effect, source, from, to }) => ({ id, flag, effect, source, from, to }))
  }

  const published = async () => {
    const flags = await client.all<InventoryFlag>('/flags')
    return flags.filter(({ state }) => state === 'live' || state === 'retiring')
  }

  const ruleOf = ({ rules }: InventoryFlag) => rules.find((rule) => rule.environment === environment)

  async function org(orgId: string): Promise<OrgDocument | null> {
    try {
      const found = await client.get<{ not_before: number; contracts: Contract[] }>(
        `/orgs/${encodeURIComponent(orgId)}`,
      )
      const { not_before, contracts } = found
      return { ...HEADER, org_id: orgId, contracts, grants: await grantsOf('org', orgId), not_before }
    } catch (error) {
      if (error instanceof ControlError && ['not_found', 'request_invalid'].includes(error.code)) return null
      throw error
    }
  }

  async function saveGrants(
    subject: { kind: 'org' | 'user'; id: string },
    before: readonly Grant[],
    after: readonly Grant[],
  ): Promise<void> {
    for (const { id } of before.filter((grant) => !after.some((other) => other.id === grant.id))) {
      await client.write('POST', `/grants/${id}/revoke`, { ...why })
    }
    for (const grant of after.filter((one) => !before.some((other) => other.id === one.id))) {
      const { flag, effect, source, to } = grant
      await client.write('POST', '/grants', { environment, subject, flag, effect, source, to, ...why })
    }
  }

  return {
    environment,
    org,
    async catalog() {
      const flags = await published()
      const plans = await client.all<{ key: string; flags: string[] }>('/plans')
      const rules = flags.map((flag): [string, Rule] => {
        const { access = 'none', percentage = null, killed = false } = ruleOf(flag) ?? {}
        const { kind } = flag
        return [
          flag.key,
          { kind, access, ...(percentage !== null && { percentage }), ...(killed && { killed }) },
        ]
      })
      return {
        ...HEADER,
        environment,
        flags: Object.fromEntries(rules),
        plans: Object.fromEntries(plans.map(({ key, flags }) => [key, flags])),
      }
    },
    async user(userId) {
      const grants = await grantsOf('user', userId)
      return grants.length === 0 ? null : { ...HEADER, user_id: userId, grants, not_before: 0 }
    },
    organizations: async () => (await client.all<{ id: string }>('/orgs')).map(({ id }) => id),
    async saveCatalog(catalog) {
      for (const flag of await published()) {
        const before = ruleOf(flag)
        const after = catalog.flags[flag.key]
        if (!before || !after) continue
        const path = `/flags/${flag.key}/rules/${environment}`
        const { access, percentage = null, killed = false } = after
        if (before.access !== access || before.percentage !== percentage) {
          await client.write('PUT', path, { access, percentage, ...why }, before.revision)
        }
        if (before.killed !== killed) {
          await client.write('POST', `${path}/${killed ? 'kill' : 'revive'}`, { ...why })
        }
      }
    },
    async saveOrg(document) {
      const id = document.org_id
      const before = await org(id)
      if (before === null) await client.write('POST', '/orgs', { id, name: id, ...why })
      await saveGrants({ kind: 'org', id }, before?.grants ?? [], document.grants)
    },
    async saveUser(document) {
      const id = document.user_id
      await saveGrants({ kind: 'user', id }, await grantsOf('user', id), document.grants)
    },
  }
}
