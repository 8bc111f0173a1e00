/**
 * `npm run audit`: exports the audit log as lines of JSON, and verifies such a file without any server.
 *
 * Verifying uses the control plane's own chain module. A kept export reveals that the database was rewritten since: compare
 * the head.
 */

import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import { type AuditEntry, GENESIS, verifyChain } from '../src/control/ledger/audit_chain.ts'
import { main, Running, UsageError } from './cli.ts'
import { parseCommandLine } from './commands.ts'
import { CONTROL_PORT } from './control.ts'
import { reachControl } from './control_client.ts'
import { io, print } from './io.ts'
import { STATE } from './wrangler.ts'

interface Common {
  control: string
  state: string
}

const PAGE = 200

async function exportLog(common: Common, file: string | undefined): Promise<void> {
  const running = new Running()
  try {
    const client = await reachControl(running, common)
    const out = file === undefined ? undefined : createWriteStream(file)
    let cursor: string | null = ''
    let count = 0
    do {
      const next: string = cursor && `&cursor=${cursor}`
      const page: { data: AuditEntry[]; next_cursor: string | null } = await client.get(
        `/audit?order=asc&limit=${PAGE}${next}`,
      )
      for (const entry of page.data) {
        const line = `${JSON.stringify(entry)}\n`
        if (out) out.write(line)
        else io().out(line)
      }
      count += page.data.length
      cursor = page.next_cursor
    } while (cursor !== null)
    if (out) {
      out.end()
      await once(out, 'finish')
      print(`${count} rows in ${file}.`)
    }
  } finally {
    await running.close()
  }
}

async function verifyFile(file: string): Promise<void> {
  let head = { seq: 0, hash: GENESIS }
  const lines = createInterface({ input: createReadStream(file) })
  for await (const line of lines) {
    let entry: AuditEntry
    try {
      entry = JSON.parse(line)
    } catch {
      throw new UsageError(`The line after row ${head.seq} is not JSON.`)
    }
    const verdict = await verifyChain([entry], head)
    if (!verdict.intact)
      throw new UsageError(`The chain is broken at row ${verdict.seq}: ${verdict.problem}.`)
    head = verdict.head
  }
  print(`The chain is intact: ${head.seq} rows, the last one is ${head.hash}.`)
}

export function program(): Command {
  const command = new Command('npm run audit --')
    .description('Exports the audit log, and verifies an export offline.')
    .option('--control <url>', 'the control plane', `http://localhost:${CONTROL_PORT}`)
    .option('--state <folder>', 'the state folder of a local control plane', STATE)
    .addHelpText('after', '\nWith REMINT_API_KEY set, --control may be a deployed control plane.')

  command
    .command('export')
    .description('prints the log, one row per line, oldest first')
    .option('--out <file>', 'write it to a file instead')
    .action(({ out }: { out?: string }) => main(() => exportLog(command.opts<Common>(), out)))

  command
    .command('verify')
    .description('checks every hash of an export; needs no server')
    .argument('<file>')
    .action((file: string) => main(() => verifyFile(file)))

  return command
}

if (import.meta.main) await parseCommandLine(program())
