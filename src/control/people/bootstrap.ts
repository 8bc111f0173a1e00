/**
 * The command that makes the first admin, sets the first policies, and can make an API key for tools: once per secret, and
 * never while anybody is an admin. What it decides is committed at once, because there is nobody to approve it.
 */
import { and, eq, gt, isNull, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import { BOOTSTRAP } from '../auth/bootstrap.ts'
import { apiKeyRow, type NewApiKey } from '../auth/new_api_key.ts'
import type { PresentedKey } from '../auth/secrets.ts'
import type { PolicyContent } from '../change_requests/policy_schemas.ts'
import type { Config } from '../config.ts'
import { bootstraps, people } from '../db/people.ts'
import { api_keys } from '../db/schema.ts'
import type { Edit } from '../entities/edit.ts'
import { byName, foldNames } from '../entities/person.ts'
import type { Command, Facts, Step, Why } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import { hasRole } from '../roles.ts'
import { newPerson, type PersonEdit } from './commands.ts'

export interface Bootstrap {
  readonly subject: string
  readonly name: string | null
  readonly email: string | null
  readonly policies: Readonly<Record<string, PolicyContent>>
  readonly apiKey: NewApiKey | undefined
}

/** @param made - the API key; @param secretHash - SHA-256 of the bootstrap secret, hex */
export const bootstrapCommand = (
  wanted: Bootstrap,
  made: PresentedKey,
  secretHash: string,
  access: Config['access'],
  why: Why,
): Command<PersonEdit> => ({
  action: 'person.bootstrap',
  ...why,
  clearance: 'bootstrap',
  async decide(facts) {
    // An admin who signs in can do all of this with the other routes.
    if (facts.actor !== BOOTSTRAP) return err('bootstrap_done')
    const refused = await refusalOf(facts, secretHash, access)
    if (refused) return err(refused)
    const policies = await policyEdits(wanted.policies, facts)
    if (!policies.ok) return policies
    const { subject, name, email, apiKey } = wanted
    const row = apiKey && (await apiKeyRow(apiKey, made, subject, facts))
    if (row && !row.ok) return row
    const keys: Edit[] = row ? [{ table: 'api_keys', before: null, after: row.value }] : []
    const known = await facts.state.rows('people').by(byName, foldNames([subject]))
    const before = known.find((one) => one.subject === subject)
    if (known.some((one) => one !== before)) return err('identity_taken')
    const person = before ?? newPerson(subject, facts.now)
    const after = {
      ...{ ...person, name: name ?? person.name, email: email ?? person.email },
      roles: [...new Set([...person.roles, 'admin' as const])],
      gone_at: null,
      updated_at: new Date(facts.now).toISOString(),
      revision: person.revision + 1,
    }
    return ok({
      first: [
        ...policies.value.map((edit) => stepOf(edit, 'policy.set', why)),
        ...keys.map((edit) => stepOf(edit, 'api_key.create', why)),
      ],
      edit: { table: 'people', before: before ?? null, after },
    })
  },
})

const stepOf = (edit: Edit, action: string, why: Why): Step => ({ edit, action, actor: BOOTSTRAP, ...why })

async function refusalOf(
  { state: { db }, now }: Facts,
  secretHash: string,
  access: Config['access'],
): Promise<Refusal | undefined> {
  const [used, admins, keys] = await db.batch([
    db.select().from(bootstraps).where(eq(bootstraps.secret_hash, secretHash)),
    db
      .select({ subject: people.subject })
      .from(people)
      .where(
        and(
          isNull(people.gone_at),
          sql`EXISTS (SELECT 1 FROM json_each(${people.roles}) AS role WHERE role.value = 'admin')`,
        ),
      )
      .limit(1),
    db
      .select({ id: api_keys.id })
      .from(api_keys)
      .where(
        and(
          eq(api_keys.role, 'admin'),
          isNull(api_keys.revoked_at),
          gt(api_keys.ends_at, new Date(now).toISOString()),
        ),
      )
      .limit(1),
  ])
  if (used.length > 0) return 'bootstrap_used'
  const assigned = [...(access?.roles.values() ?? [])].some((roles) => hasRole(roles, ['admin']))
  return admins.length + keys.length > 0 || assigned ? 'bootstrap_done' : undefined
}

/** First policies only: those that somebody has set take approvals to change. */
async function policyEdits(
  wanted: Bootstrap['policies'],
  { state, now, environments, policies }: Facts,
): Promise<Result<Edit[], Refusal>> {
  const edits: Edit[] = []
  for (const [environment, { kinds = null, flags = null, ...content }] of Object.entries(wanted)) {
    if (!environments.includes(environment)) return err('environment_unknown')
    const named = [...new Set([...content.exclusive.flat(), ...Object.keys(flags ?? {})])]
    if ((await state.rows('flags').loadMany(named)).length < named.length) return err('flag_unknown')
    if (policies.some((one) => one.environment === environment && one.revision > 0)) return err('policy_set')
    const before = (await state.rows('policies').load(environment)) ?? null
    const updated_at = new Date(now).toISOString()
    edits.push({
      table: 'policies',
      before,
      after: { environment, ...content, kinds, flags, updated_at, revision: 1 },
    })
  }
  return ok(edits)
}
