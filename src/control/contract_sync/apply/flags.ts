/**
 * A flag's rule and targets in another system: what to import, with the names here. Does I/O through `Known`.
 *
 * Rule and targets are ordered separately: an event that only switches a flag says nothing about targets, and a late one may
 * still be the latest that does. The order belongs to the flag here and its environment, so that a late event about a flag
 * that was deleted and created again changes nothing.
 */
import { type External, type FlagTargets, nameOf, needsOf } from '../events.ts'
import { importSaid } from '../reimport.ts'
import { type Commands, runGuarded } from '../run_command.ts'
import { applied, conflict, quarantined, superseded, unresolved, type Verdict } from '../verdict.ts'
import type { Ordered } from './apply.ts'
import { resolver } from './resolve.ts'

/** How many targets one event may name: each becomes a grant in the same commit. */
const MAX_TARGETS = 500
/** The types of events that list all targets. */
const TELLING_TARGETS = ['flag.rule_updated', 'flag.deleted']

export async function applyTargets(
  part: FlagTargets,
  context: Ordered,
  commands: Commands,
): Promise<Verdict> {
  const { known } = context
  const { source, environment, targets, revision } = part
  const organizations = targets?.organizations ?? []
  const resolve = await resolver(source, [part.flag, ...organizations], known)
  const flag = resolve(part.flag, 'flag')
  const about = { entity: `flag:${environment}:${flag ?? nameOf(part.flag)}`, revision }
  const accessStop = await context.passed(about.entity, revision)
  const targetsStop =
    targets === null ? superseded : await context.passed(about.entity, revision, TELLING_TARGETS)
  if (accessStop === conflict || targetsStop === conflict) return { ...conflict, ...about }
  if (accessStop && targetsStop) return { ...superseded, ...about }
  // A flag that is not known here has nothing to lose.
  if (flag === undefined) return { ...(part.deleted ? applied() : unresolved([part.flag])), ...about }
  if (organizations.length + (targets?.users.length ?? 0) > MAX_TARGETS) {
    return { ...quarantined('too_many_targets'), ...about }
  }
  const unknown: External[] = organizations.filter((org) => resolve(org, 'org') === undefined)
  const users = targets?.users ?? []
  const input = {
    flag,
    environment,
    source,
    revision,
    access: accessStop ? null : part.access,
    targets:
      targets === null || targetsStop
        ? null
        : {
            organizations: organizations.flatMap((org) => resolve(org, 'org') ?? []).toSorted(),
            users: users.toSorted(),
          },
  }
  const imported = await runGuarded(
    'flag.import',
    input,
    { event: context.event, known, click: part.click },
    commands,
  )
  if (!imported.ok) return { ...imported.verdict, ...about }
  const [first] = unknown
  const verdict = first
    ? { ...quarantined('org_unknown', nameOf(first)), needs: unknown.flatMap(needsOf) }
    : applied()
  const whole = first === undefined && part.targets !== null && !targetsStop
  const said = whole ? [await importSaid(part, context.event, context.now)] : []
  return { ...verdict, steps: imported.steps, said, ...about }
}
