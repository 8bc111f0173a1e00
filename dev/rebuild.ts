/** `npm run rebuild`: has the control plane write every document in KV again from D1, and shows the progress. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { main, Running } from './cli.ts'
import { parseCommandLine } from './commands.ts'
import { CONTROL_PORT } from './control.ts'
import { type ControlClient, reachControl } from './control_client.ts'
import { io, print } from './io.ts'
import { STATE } from './wrangler.ts'

const POLL_MS = 500

interface Progress {
  readonly total: number
  readonly written: number
  readonly finished_at: string | null
}

interface Options {
  control: string
  state: string
  environment?: string
}

async function rebuild(options: Options): Promise<void> {
  const running = new Running()
  try {
    const client = await reachControl(running, options)
    const { data } = await client.get<{ data: { name: string }[] }>('/environments')
    const names = options.environment === undefined ? data.map(({ name }) => name) : [options.environment]
    for (const name of names) await client.write('POST', `/publishing/${name}/rebuild`, {})
    for (const name of names) await follow(client, name)
  } finally {
    await running.close()
  }
}

async function follow(client: ControlClient, environment: string): Promise<void> {
  for (;;) {
    type Status = { environment: string; rebuild: Progress | null }
    const { data } = await client.get<{ data: Status[] }>('/publishing')
    const progress = data.find((one) => one.environment === environment)?.rebuild
    if (!progress) return
    const line = `${environment}: ${progress.written} of ${progress.total} documents`
    if (process.stdout.isTTY) io().out(`\r${line}`)
    if (progress.finished_at !== null) {
      print(process.stdout.isTTY ? '' : line)
      return
    }
    await sleep(POLL_MS)
  }
}

export const program = (): Command =>
  new Command('npm run rebuild --')
    .description('Writes every document in KV again from D1. If interrupted, it resumes where it stopped.')
    .option('--environment <name>', 'only this one')
    .option('--control <url>', 'the control plane', `http://localhost:${CONTROL_PORT}`)
    .option('--state <folder>', 'the state folder of a local control plane', STATE)
    .addHelpText('after', '\nWith REMINT_API_KEY set, --control may be a deployed control plane.')
    .action((options: Options) => main(() => rebuild(options)))

if (import.meta.main) await parseCommandLine(program())
