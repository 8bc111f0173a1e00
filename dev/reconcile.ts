/**
 * `npm run reconcile`: the current state of a source beside the contracts here, as a table. It changes nothing without
 * `--apply`.
 */

import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { main, paint, Running } from './cli.ts'
import { parseCommandLine } from './commands.ts'
import { CONTROL_PORT } from './control.ts'
import { type ControlClient, reachControl } from './control_client.ts'
import { io, print } from './io.ts'
import { pagesOf } from './reconcile/list.ts'
import { STATE } from './wrangler.ts'

/** Something differs and is not repaired. */
const EXIT_DIFFERENT = 2

interface Options {
  source: string
  apply?: boolean
  file?: string
  control: string
  state: string
}

interface Contract {
  readonly id: string
  readonly org: string
  readonly plan: string | null
  readonly status: string
  readonly from: string
  readonly to: string | null
  readonly add: readonly string[]
}

export interface Difference {
  readonly contract: string
  readonly here: readonly Contract[]
  readonly there: readonly Contract[]
  readonly problem: string | null
  readonly detail: string | null
  readonly repaired: boolean
}

interface Page {
  readonly checked: number
  readonly differences: readonly Difference[]
  readonly next_cursor: string | null
}

async function reconcile(options: Options): Promise<void> {
  const running = new Running()
  try {
    await compareAll(await reachControl(running, options), options)
  } finally {
    await running.close()
  }
}

/** What the source has, from a file or by asking it, a page at a time. */
async function* pagesBy(
  client: ControlClient,
  { source, apply = false, file }: Options,
): AsyncGenerator<Page> {
  if (file !== undefined) {
    const pages = pagesOf(await readFile(file, 'utf8'))
    if (typeof pages === 'string') throw new Error(pages)
    for (const list of pages) yield client.post<Page>('/reconciliations', { source, apply, list })
    return
  }
  let cursor: string | null = null
  do {
    const body: object = { source, apply, ...(cursor !== null && { cursor }) }
    const page: Page = await client.post<Page>('/reconciliations', body)
    yield page
    cursor = page.next_cursor
  } while (cursor !== null)
}

async function compareAll(client: ControlClient, options: Options): Promise<void> {
  const { apply = false } = options
  let checked = 0
  const differences: Difference[] = []
  for await (const page of pagesBy(client, options)) {
    for (const difference of page.differences) print(describe(difference))
    differences.push(...page.differences)
    checked += page.checked
  }
  const open = differences.filter(({ repaired }) => !repaired)
  const repaired = differences.length - open.length
  print(
    `${checked} contracts checked, ${differences.length} differences` +
      (apply ? `, ${repaired} repaired.` : '.'),
  )
  if (open.length === 0) return
  if (!apply) print('Nothing was changed: --apply repairs what can be repaired.')
  io().exit(EXIT_DIFFERENT)
}

/** A block of lines: the contract, its rows on both sides, and the problem. */
export function describe({ contract, here, there, problem, detail, repaired }: Difference): string {
  const rows = (name: string, all: readonly Contract[]) =>
    (all.length === 0 ? ['nothing'] : all.map(row)).map(
      (text, index) => `  ${(index === 0 ? name : '').padEnd(6)} ${text}`,
    )
  const wrong = [problem, detail].filter(Boolean).join(': ')
  const state = wrong || (repaired ? 'repaired' : 'differs')
  return [
    `${paint(problem === null ? 'bold' : 'red', contract)}: ${state}`,
    ...(problem === null ? [...rows('here', here), ...rows('there', there)] : []),
  ].join('\n')
}

const row = ({ id, org, plan, status, from, to, add }: Contract): string =>
  [
    ...[id, org, [plan ?? 'no plan', ...add].join(' + '), status],
    `${from.slice(0, 10)} to ${to?.slice(0, 10) ?? 'no end'}`,
  ].join('  ')

export const program = (): Command =>
  new Command('npm run reconcile --')
    .description('Compares the current state of a source with the contracts here.')
    .requiredOption('--source <name>', 'stripe, with an API key; any other with --file')
    .option('--file <path>', 'what the source has: an exported list of snapshots or subscriptions, as JSON')
    .option('--apply', 'repair the differences; without it nothing is changed')
    .option('--control <url>', 'the control plane', `http://localhost:${CONTROL_PORT}`)
    .option('--state <folder>', 'the state folder of a local control plane', STATE)
    .addHelpText(
      'after',
      '\nExits with 2 if something differs that is not repaired. With REMINT_API_KEY set, --control may be a deployed control plane.',
    )
    .action((options: Options) => main(() => reconcile(options)))

if (import.meta.main) await parseCommandLine(program())
