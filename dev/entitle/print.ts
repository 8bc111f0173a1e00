/** What `npm run entitle` prints: the state of an environment, of one organization, and what a change made of it. */
import { paint } from '../cli.ts'
import type { ControlClient, Written } from '../control_client.ts'

export const list = (flags: readonly string[]): string => flags.join(', ') || 'nothing'

interface InventoryFlag {
  readonly key: string
  readonly state: string
  readonly rules: readonly {
    readonly environment: string
    readonly access: string
    readonly percentage: number | null
    readonly killed: boolean
  }[]
}

interface Organization {
  readonly id: string
  readonly contracts: readonly { readonly plan: string | null }[]
}

interface Explained {
  readonly flags: readonly {
    readonly flag: string
    readonly on: boolean
    readonly reason: string
    readonly ends_at: string | null
  }[]
}

export async function showAll(client: ControlClient, environment: string): Promise<void> {
  const { data: flags } = await client.get<{ data: InventoryFlag[] }>('/flags?limit=200')
  const width = Math.max(...flags.map(({ key }) => key.length))
  console.log(`\n${paint('bold', `Flags in ${environment}`)}`)
  for (const { key, state, rules } of flags) {
    const rule = rules.find((one) => one.environment === environment)
    const rollout = rule?.percentage == null ? '' : `, ${rule.percentage} % rollout`
    const killed = rule?.killed ? ', killed' : ''
    console.log(
      `  ${key.padEnd(width)}  ${state === 'live' ? '' : `${state}, `}${rule?.access}${rollout}${killed}`,
    )
  }
  console.log(`\n${paint('bold', 'Organizations')}`)
  const { data: organizations } = await client.get<{ data: Organization[] }>('/orgs?limit=200')
  for (const { id, contracts } of organizations) {
    const plans = contracts.map(({ plan }) => plan).join(', ')
    const { flags: explained } = await explain(client, environment, id)
    const on = explained.filter((flag) => flag.on).map(({ flag }) => flag)
    console.log(`  ${id} (${plans || 'no plan'}): ${list(on)}`)
  }
  console.log('')
}

export async function showOne(client: ControlClient, environment: string, id: string): Promise<void> {
  const { flags } = await explain(client, environment, id)
  const width = Math.max(...flags.map(({ flag }) => flag.length))
  console.log(`\n${paint('bold', id)}`)
  for (const { flag, on, reason, ends_at } of flags) {
    const state = on ? paint('green', 'on ') : paint('dim', 'off')
    const until = ends_at === null ? '' : `, until ${ends_at}`
    console.log(`  ${state}  ${flag.padEnd(width)}  ${paint('dim', reason + until)}`)
  }
  console.log('')
}

const explain = (client: ControlClient, environment: string, id: string): Promise<Explained> =>
  client.get(`/orgs/${encodeURIComponent(id)}/entitlements?environment=${environment}`)

/** What an organization gained and lost; of a user, whose organization is not known here, what the diff says. */
export function printEffect(
  id: string,
  before: readonly string[] | undefined,
  after: readonly string[] | undefined,
  written: Written | undefined,
): void {
  const changes = written?.effect.changes ?? []
  const words =
    before && after
      ? difference(before, after)
      : changes.flatMap(({ flag, gained, lost }) => [
          ...(gained.users.ids.includes(id) ? [`+${flag}`] : []),
          ...(lost.users.ids.includes(id) ? [`-${flag}`] : []),
        ])
  const painted = words.map((word) => paint(word.startsWith('+') ? 'green' : 'red', word))
  console.log(`          ${painted.join(' ') || paint('dim', 'no change')}`)
}

/** `+on -off`, in order; empty when nothing changed. */
export function difference(before: readonly string[], after: readonly string[]): string[] {
  const on = after.filter((flag) => !before.includes(flag)).map((flag) => `+${flag}`)
  const off = before.filter((flag) => !after.includes(flag)).map((flag) => `-${flag}`)
  return [...on, ...off]
}
