/** What the control plane has at the end, beside what the model says: lost events, and rows and flags that are wrong. */
import type { ControlClient } from '../../dev/control_client.ts'
import { type Contract, flagsOf, type Phase, type Stream } from './stream.ts'

const FINAL_STATES = ['applied', 'superseded']

interface Page<T> {
  readonly data: readonly T[]
  readonly next_cursor: string | null
}

interface InboxEvent {
  readonly event_id: string
  readonly state: string
  readonly problem: string | null
}

interface Row extends Phase {
  readonly id: string
  readonly revision: number
}

export interface Verdict {
  /** Events that are not there, or are there without having come to an end. */
  readonly lost: readonly string[]
  readonly wrong: readonly string[]
  readonly states: ReadonlyMap<string, number>
}

export async function readInbox(client: ControlClient, query = ''): Promise<InboxEvent[]> {
  const events: InboxEvent[] = []
  let cursor: string | null = ''
  do {
    const next: string = cursor && `&cursor=${encodeURIComponent(cursor)}`
    const page: Page<InboxEvent> = await client.get(`/inbox?limit=200${query}${next}`)
    events.push(...page.data)
    cursor = page.next_cursor
  } while (cursor !== null)
  return events
}

export async function compare(client: ControlClient, stream: Stream): Promise<Verdict> {
  const inbox = await readInbox(client)
  const known = new Map(inbox.map((event) => [event.event_id, event]))
  const lost: string[] = []
  for (const id of new Set(stream.deliveries.map((event) => event.id))) {
    const event = known.get(id)
    if (event && FINAL_STATES.includes(event.state)) continue
    lost.push(event ? `${id}: ${event.state}, ${event.problem}` : `${id}: not there`)
  }
  const states = new Map<string, number>()
  for (const { state } of inbox) states.set(state, (states.get(state) ?? 0) + 1)

  const wrong: string[] = []
  if (known.size !== stream.events) wrong.push(`${known.size} events in the inbox, not ${stream.events}`)
  for (const org of stream.organizations) {
    const { contracts } = await client.get<{ contracts: Row[] }>(`/orgs/${org}`)
    const expected = stream.expected.filter((contract) => contract.org === org)
    wrong.push(...expected.flatMap((contract) => differenceOf(contract, contracts)))
    const path = `/orgs/${org}/entitlements?environment=production`
    const { flags } = await client.get<{ flags: { flag: string; on: boolean }[] }>(path)
    const has = flags.flatMap(({ flag, on }) => (on ? [flag] : [])).sort()
    const shouldHave = flagsOf(stream.expected, org, Date.now())
    if (String(has) !== String(shouldHave)) wrong.push(`${org} has ${has}, not ${shouldHave}`)
  }
  const { intact } = await client.get<{ intact: boolean }>('/audit/verify')
  if (!intact) wrong.push('the audit chain is broken')
  return { lost, wrong, states }
}

/**
 * Rows whose window is empty are what is left of phases that there are no more. A row's revision counts its own changes and is
 * at least the source's: what a delta takes away before its base arrives is a change besides.
 */
function differenceOf({ contract, revision, phases }: Contract, rows: readonly Row[]): string[] {
  const shown = ({ plan, add, status, from, to }: Phase) => JSON.stringify([plan, add, status, from, to])
  const own = rows.filter(({ id }) => id === contract || id.startsWith(`${contract}~`))
  const live = own.filter(({ from, to }) => from !== to).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const same =
    live.length === phases.length &&
    live.every((row, index) => row.revision >= revision && shown(row) === shown(phases[index] as Phase)) &&
    own.every(({ from, to, status }) => from !== to || status === 'cancelled')
  return same
    ? []
    : [`${contract} is ${JSON.stringify(live)}, not revision ${revision}: ${JSON.stringify(phases)}`]
}
