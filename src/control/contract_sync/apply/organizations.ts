/** Organizations as other systems report them, and names that belong to them. Does I/O through `Known`. */
import type { OrgDeleted, OrgLinked, OrgUpserted } from '../events.ts'
import { nameOf } from '../events.ts'
import { type Commands, runCommand, runGuarded } from '../run_command.ts'
import { applied, quarantined, type Verdict } from '../verdict.ts'
import type { Ordered } from './apply.ts'
import { resolver } from './resolve.ts'

/** Maps a name to an organization, if it is not mapped yet. */
export async function linkOrganization(
  part: OrgLinked,
  context: Ordered,
  commands: Commands,
): Promise<Verdict> {
  const { source, external_id, org: target, confirmed } = part
  const { event, known } = context
  const mapped = await known.mapping(source, 'org', external_id)
  if (mapped?.target === target) return applied()
  if (mapped?.target) return quarantined('mapped_to_another_org', external_id)
  // It may come from a link that anybody can make up, so an operator must confirm it.
  if (!confirmed) return { ...quarantined('org_unconfirmed', external_id), needs: [`org:${external_id}`] }
  if (!(await known.organization(target))) {
    return { ...quarantined('org_unknown', target), needs: [`org:${target}`] }
  }
  const input = { source, kind: 'org', external_id, target }
  const set = await runGuarded('mapping.set', input, { event, known, click: part.click }, commands)
  return set.ok ? applied(set.steps) : set.verdict
}

export async function upsertOrganization(
  part: OrgUpserted,
  context: Ordered,
  commands: Commands,
): Promise<Verdict> {
  const id = await ourId(part, context)
  const about = { entity: `organization:${id}`, revision: part.revision, org: id }
  const passed = await context.passed(about.entity, part.revision)
  if (passed) return { ...passed, ...about }
  const { event, known } = context
  const before = await known.organization(id)
  if (before?.name === part.name) return { ...applied(), ...about }
  const set = before
    ? await runCommand('organization.update', { org: id, name: part.name }, event, known, commands)
    : await runCommand('organization.create', { id, name: part.name }, event, known, commands)
  return { ...(set.ok ? applied(set.steps) : set.verdict), ...about }
}

/** Users that are logged in must refresh, which the identity provider refuses. Its contracts are its own matter. */
export async function endOrganization(
  part: OrgDeleted,
  context: Ordered,
  commands: Commands,
): Promise<Verdict> {
  const id = await ourId(part, context)
  const about = { entity: `organization:${id}`, revision: part.revision, org: id }
  const passed = await context.passed(about.entity, part.revision)
  if (passed) return { ...passed, ...about }
  const { event, known, now } = context
  if (!(await known.organization(id))) return { ...applied(), ...about }
  const not_before = Math.ceil(now / 1000)
  const set = await runCommand('organization.update', { org: id, not_before }, event, known, commands)
  return { ...(set.ok ? applied(set.steps) : set.verdict), ...about }
}

async function ourId({ source, org }: OrgUpserted | OrgDeleted, { known }: Ordered): Promise<string> {
  const resolve = await resolver(source, [org], known)
  return resolve(org, 'org') ?? nameOf(org)
}
