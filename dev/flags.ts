/**
 * `npm run flags`: flags and plans as a file that is kept in version control. Exported from the control plane, compared
 * with it, and applied to it; also promotes rules from an environment to the next.
 *
 * The report goes to stdout, progress to stderr. `plan` exits with 0 if there is no difference, 2 if there is one, and 1 if
 * that could not be determined.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { Command, Option } from 'commander'
import { main, Running, UsageError } from './cli.ts'
import { parseCommandLine } from './commands.ts'
import { CONTROL_PORT } from './control.ts'
import { type ControlClient, ControlError, reachControl } from './control_client.ts'
import { parseDuration } from './entitle/words.ts'
import { type Difference, differenceOf, firstPart } from './flags/difference.ts'
import { type ParsedFile, parseFlagsFile, printFlagsFile } from './flags/file.ts'
import { asFile, readGoverned } from './flags/governed.ts'
import { applyChange, ask, type Change, decided, findRequest, lookAt, type Why } from './flags/requests.ts'
import { approvalText, differenceText, effectText, type PromotionView, promotionText } from './flags/show.ts'
import { printDocument } from './flags/stdout.ts'
import { io, print, report } from './io.ts'
import { STATE } from './wrangler.ts'

const HELP = `
Examples:
  npm run flags -- export > flags.yaml
  npm run flags -- plan flags.yaml                     what would change, and for whom; exits with 2 if anything would
  npm run flags -- apply flags.yaml --reason "Scim for teams" --ticket PROD-12
  npm run flags -- apply flags.yaml --wait 30m         waits for approval, then applies it
  npm run flags -- promote staging production --dry-run
  npm run flags -- promote staging production --leave-out new-editor,scim

With REMINT_API_KEY set, --control may be a deployed control plane. See docs/flags-as-code.md.`

const DIFFERS = 2
const WAIT_MS = 3_600_000

interface Common {
  control: string
  state: string
}

interface ApplyOptions {
  reason?: string
  ticket?: string
  wait?: number | true
}

interface PromoteOptions extends ApplyOptions {
  leaveOut?: string[]
  only?: string[]
  dryRun?: boolean
}

async function withClient(common: Common, work: (client: ControlClient) => Promise<void>): Promise<void> {
  const running = new Running()
  try {
    await work(await reachControl(running, common))
  } finally {
    await running.close()
  }
}

async function exportFile(client: ControlClient, out: string | undefined): Promise<void> {
  const file = asFile(await readGoverned(client))
  const text = printFlagsFile(file)
  if (out === undefined) printDocument(text)
  else await writeFile(out, text)
  const [flags, plans] = [file.flags, file.plans].map((all) => Object.keys(all).length)
  report(`${flags} flags and ${plans} plans${out === undefined ? '' : ` in ${out}`}.`)
}

async function readFlagsFile(path: string): Promise<ParsedFile> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT')
      throw new UsageError(`There is no file ${path}. Make one: npm run flags -- export > ${path}`)
    throw new UsageError(`${path} cannot be read: ${cause.message}`)
  })
  return parseFlagsFile(text, path)
}

/** @throws UsageError if the file asks for something impossible */
async function compare(client: ControlClient, { file, describe }: ParsedFile): Promise<Difference> {
  const difference = differenceOf(file, await readGoverned(client))
  if (difference.faults.length > 0) throw new UsageError(describe(difference.faults))
  return difference
}

async function plan(client: ControlClient, parsed: ParsedFile): Promise<void> {
  const difference = await compare(client, parsed)
  print(differenceText(difference))
  if (difference.entries.length === 0) return
  await showEffect(client, difference)
  io().exit(DIFFERS)
}

/** @returns the digest of what applying would do, if the caller may see it */
async function showEffect(client: ControlClient, { items }: Difference): Promise<string | undefined> {
  const part = firstPart(items)
  try {
    const { data, requires_approval } = await lookAt(client, part)
    print(`\n${effectText(data.effect)}`)
    if (part.length < items.length) {
      print(`This covers the first ${part.length} of ${items.length} commands: they are applied in parts.`)
    }
    print(approvalText(requires_approval, data.required))
    return data.digest
  } catch (error) {
    if (!(error instanceof ControlError && error.code === 'role_missing')) throw error
    print('\nWho gains and who loses is shown to editors only. This API key has another role.')
    return undefined
  }
}

async function apply(client: ControlClient, parsed: ParsedFile, name: string, options: ApplyOptions) {
  const why = { reason: options.reason ?? `As in ${basename(name)}`, ticket: options.ticket }
  let left = Number.POSITIVE_INFINITY
  for (let round = 0; ; round++) {
    const difference = await compare(client, parsed)
    const { items } = difference
    if (round === 0) print(differenceText(difference))
    if (items.length === 0) return
    if (items.length >= left)
      throw new UsageError(
        'It was applied, but the difference remains: somebody else is changing the same flags.',
      )
    left = items.length
    const part = firstPart(items)
    const digest = await showEffect(client, difference)
    const known = digest && (await findRequest(client, digest))
    if (known) report(`It was already requested, as ${known.id}.`)
    const change = known || (await ask(client, part, why))
    if (!(await bring(client, change, why, options.wait))) {
      if (part.length < items.length) print('Apply the file again after that, for the rest.')
      return
    }
  }
}

/** Applies a change request, after waiting for approval if requested. @returns whether it is applied */
async function bring(client: ControlClient, asked: Change, why: Why, wait: ApplyOptions['wait']) {
  let change = asked
  if (change.state === 'in_review' && wait !== undefined) {
    report(`${change.id} waits for approval …`)
    change = await decided(client, change, wait === true ? WAIT_MS : wait)
  }
  if (change.state === 'in_review') {
    const missing = change.required - change.approvals.length
    print(`
Not applied yet: ${change.id} waits for ${missing > 1 ? `${missing} approvals` : 'approval'}.
  show     GET  ${client.url}/api/v1/changes/${change.id}
  approve  POST ${client.url}/api/v1/changes/${change.id}/approve   {"digest": "${change.digest}"}
  apply    POST ${client.url}/api/v1/changes/${change.id}/apply     or the same command again`)
    return false
  }
  if (change.state !== 'applied') change = await applyChange(client, change, why)
  for (const environment of change.environments) {
    await client.settled(environment).catch((error: Error) => report(error.message))
  }
  print(`\nApplied as ${change.id}.`)
  return true
}

async function promote(client: ControlClient, from: string, to: string, options: PromoteOptions) {
  const { leaveOut = [], only, dryRun, wait, reason, ticket } = options
  const why = { reason: reason ?? `Promoted from ${from} to ${to}`, ticket }
  const body = { from, to, leave_out: leaveOut, ...(only && { flags: only }), ...why }
  type Answer = { data: PromotionView & { change: Change | null; effect: Change['effect'] } }
  const { data } = await client.write<Answer>('POST', '/promotions?dry_run=true', body)
  print(promotionText(data))
  if (data.items.length === 0) return
  print(`\n${effectText(data.effect)}`)
  if (data.contradictions.length > 0) {
    const flags = [...new Set(data.contradictions.map(({ flag }) => flag))]
    throw new UsageError(
      `Contracts contradict the promotion. Change the rules or the contracts, or promote the rest: --leave-out ${[...leaveOut, ...flags].join(',')}`,
    )
  }
  if (dryRun) return
  const { change } = (await client.write<Answer>('POST', '/promotions', body)).data
  if (change) await bring(client, change, why, wait)
}

const listed = (text: string): string[] => text.split(',').map((one) => one.trim())

export function program(): Command {
  const command = new Command('npm run flags --')
    .description('Flags and plans as a file: exported, compared, applied; and promoted between environments.')
    .addHelpText('after', HELP)
    .option('--control <url>', 'the control plane, if it runs', `http://localhost:${CONTROL_PORT}`)
    .addOption(
      new Option('--state <folder>', 'the state folder of a local control plane').default(
        STATE,
        '.wrangler/state',
      ),
    )

  const run = (work: (client: ControlClient) => Promise<void>) =>
    main(() => withClient(command.opts<Common>(), work))
  const runFile = (file: string, work: (client: ControlClient, parsed: ParsedFile) => Promise<void>) =>
    main(async () => {
      const parsed = await readFlagsFile(file)
      await withClient(command.opts<Common>(), (client) => work(client, parsed))
    })
  const withWhy = (sub: Command): Command =>
    sub
      .option('--reason <text>', 'why, for the audit log')
      .option('--ticket <id>', 'the ticket it belongs to')
      .addOption(
        new Option('--wait [duration]', 'wait until it is approved, then apply it (default: 1h)').argParser(
          parseDuration,
        ),
      )

  command
    .command('export')
    .description('prints the flags and plans of the control plane as a file')
    .option('--out <file>', 'write it to a file instead')
    .action(({ out }: { out?: string }) => run((client) => exportFile(client, out)))

  command
    .command('plan')
    .description(
      'shows what applying the file would change, and for whom; exits with 2 if there is a difference',
    )
    .argument('<file>')
    .action((file: string) => runFile(file, plan))

  withWhy(command.command('apply'))
    .description('applies the file; makes a change request where a policy requires approval')
    .argument('<file>')
    .action((file: string, options: ApplyOptions) =>
      runFile(file, (client, parsed) => apply(client, parsed, file, options)),
    )

  withWhy(command.command('promote'))
    .description('carries the rules of an environment to the next one')
    .argument('<from>')
    .argument('<to>')
    .addOption(new Option('--leave-out <flags>', 'all but these, separated by commas').argParser(listed))
    .addOption(new Option('--only <flags>', 'only these, separated by commas').argParser(listed))
    .option('--dry-run', 'only show what it would do')
    .action((from: string, to: string, options: PromoteOptions) =>
      run((client) => promote(client, from, to, options)),
    )

  return command
}

if (import.meta.main) await parseCommandLine(program())
