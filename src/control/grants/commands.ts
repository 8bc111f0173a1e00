/** The commands about grants: what they read of D1, and the decision they hand it to. */
import { eq, sql } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import type { Command } from '../changes/command.ts'
import type { Database } from '../db/client.ts'
import type { GrantRow } from '../db/rows.ts'
import { grants } from '../db/schema.ts'
import type { Edit } from '../model/edit.ts'
import { EDITORS, hasRole } from '../roles.ts'
import { createGrant, type NewGrant, revokeGrant } from './grants.ts'

export type GrantEdit = Extract<Edit, { table: 'grants' }>

export function createGrantCommand(grant: NewGrant): Command<GrantEdit> {
  const id = `grant_${crypto.randomUUID()}`
  return {
    action: 'grant.create',
    reason: grant.reason,
    ticket: grant.ticket,
    async decide({ db, now, environments, actor }) {
      if (!environments.includes(grant.environment)) return err('environment_unknown')
      // An import need not end, and who only helps in an incident gives nothing that stays.
      if (grant.source === 'import' && !hasRole(actor.roles, EDITORS)) return err('grant_import_forbidden')
      const [known] = await db.all<{ flag: string | null; org: number }>(
        sql`SELECT (SELECT state FROM flags WHERE key = ${grant.flag}) AS flag,
                   EXISTS (SELECT 1 FROM organizations WHERE id = ${grant.subject.id}) AS org`,
      )
      if (!known || known.flag === null) return err('flag_unknown')
      if (known.flag === 'retired') return err('flag_retired')
      if (grant.subject.kind === 'org' && !known.org) return err('org_unknown')
      const created = createGrant(id, grant, actor.id, now)
      return created.ok ? ok({ table: 'grants', before: null, after: created.value }) : created
    },
  }
}

export const revokeGrantCommand = (
  id: string,
  why: Pick<Command, 'reason' | 'ticket'>,
): Command<GrantEdit> => ({
  action: 'grant.revoke',
  ...why,
  async decide({ db, now, actor }) {
    const before = await findGrant(db, id)
    if (!before) return err('not_found')
    const revoked = revokeGrant(before, actor.id, now)
    return revoked.ok ? ok({ table: 'grants', before, after: revoked.value }) : revoked
  },
})

export async function findGrant(db: Database, id: string): Promise<GrantRow | undefined> {
  const [grant] = await db.select().from(grants).where(eq(grants.id, id))
  return grant
}
