/** The state of the control plane that a file of flags can hold, and its conversion to such a file. Reads over the API. */
import type { ControlClient } from '../control_client.ts'
import type { FileFlag, FlagsFile } from './file.ts'

export interface GovernedFlag {
  readonly key: string
  readonly name: string
  readonly description: string
  readonly kind: FileFlag['kind']
  readonly owner: string
  readonly tags: readonly string[]
  readonly state: FileFlag['state']
  readonly no_plan_reason: string | null
  readonly review_every_days: number | null
  readonly retire_by: string | null
  readonly revoke_on_loss: boolean
  readonly rules: readonly GovernedRule[]
}

export interface GovernedRule {
  readonly environment: string
  readonly access: 'none' | 'some' | 'all'
  readonly percentage: number | null
  readonly killed: boolean
}

export interface GovernedPlan {
  readonly key: string
  readonly name: string
  readonly description: string
  readonly flags: readonly string[]
  readonly grace_days: number
}

export interface Governed {
  /** Those that the caller can see, in the order of promotion. */
  readonly environments: readonly string[]
  readonly flags: readonly GovernedFlag[]
  readonly plans: readonly GovernedPlan[]
}

export async function readGoverned(client: ControlClient): Promise<Governed> {
  const [me, environments, flags, plans] = await Promise.all([
    client.get<{ environments: string[] | null }>('/me'),
    client.get<{ data: { name: string }[] }>('/environments'),
    client.all<GovernedFlag>('/flags'),
    client.all<GovernedPlan>('/plans'),
  ])
  const names = environments.data.map(({ name }) => name)
  return { environments: names.filter((name) => me.environments?.includes(name) ?? true), flags, plans }
}

/** A retired flag is a tombstone, not intent: it is left out. */
export function asFile({ flags, plans }: Governed): Pick<FlagsFile, 'flags' | 'plans'> {
  return {
    flags: Object.fromEntries(
      flags.filter(({ state }) => state !== 'retired').map((flag) => [flag.key, flagOf(flag)]),
    ),
    plans: Object.fromEntries(
      plans.map(({ key, name, description, flags, grace_days }) => [
        key,
        { name, description, flags: [...flags], grace_days },
      ]),
    ),
  }
}

function flagOf(flag: GovernedFlag): FileFlag {
  const { name, description, kind, owner, tags, state, no_plan_reason, revoke_on_loss } = flag
  return {
    name,
    description,
    kind,
    owner,
    tags: [...tags],
    state,
    no_plan_reason,
    revoke_on_loss,
    ...(flag.review_every_days !== null && { review_every_days: flag.review_every_days }),
    ...(flag.retire_by !== null && { retire_by: flag.retire_by }),
    rules: Object.fromEntries(
      flag.rules.map(({ environment, access, percentage }) => [environment, { access, percentage }]),
    ),
  }
}
