/**
 * `npm run entitle`: changes what organizations have, through the control plane, so that the next refresh through the
 * gateway shows it.
 *
 * A client of the API like any other: what it prints as gained and lost is the effective diff that the audit log keeps.
 * Where no control plane runs on the state folder, one is started for the one command.
 */
import { Argument, Command, Option } from 'commander'
import { ENVIRONMENT_NAME, type Grant } from '../src/core/documents.ts'
import { main, paint, Running, UsageError } from './cli.ts'
import { CONTROL_PORT } from './control.ts'
import { type ControlClient, ControlError, reachControl, type Written } from './control_client.ts'
import { list, printEffect, showAll, showOne } from './entitle/print.ts'
import { nearNames, parseDuration, parsePercentage } from './entitle/words.ts'
import { STATE } from './wrangler.ts'

const HELP = `
Examples:
  npm run entitle -- show                                        every organization and what it has
  npm run entitle -- show org_acme                               every flag, on or off, and why
  npm run entitle -- grant org_globex advanced-analytics --source beta --for 30d
  npm run entitle -- deny org_acme sso
  npm run entitle -- revoke org_globex advanced-analytics        ends the grant or the denial
  npm run entitle -- grant user_ada new-editor --user            one person instead of the organization
  npm run entitle -- rule new-editor some --percentage 50        half of all organizations
  npm run entitle -- rule advanced-analytics --kill              off for everybody, at once`

const NEXT =
  'The next refresh shows it, at most 5 s from now: so long may the gateway keep a document in memory.'

/** Every grant by hand ends; this long unless told. */
const GRANT_MS = 30 * 86_400_000

interface Common {
  environment: string
  state: string
  control: string
}

interface Session {
  readonly client: ControlClient
  readonly environment: string
  readonly reason: string
}

interface GrantOptions {
  source?: Grant['source']
  for?: number
  user?: boolean
}

interface RuleOptions {
  percentage?: number
  kill?: boolean
  revive?: boolean
}

async function withControl(common: Common, words: string, work: (session: Session) => Promise<void>) {
  const { environment } = common
  if (!ENVIRONMENT_NAME.test(environment)) {
    throw new UsageError(`"${environment}" is not the name of an environment, such as production.`)
  }
  const running = new Running()
  try {
    const client = await reachControl(running, common)
    await work({ client, environment, reason: `npm run entitle -- ${words}` })
  } finally {
    await running.close()
  }
}

interface Subject {
  readonly kind: 'org' | 'user'
  readonly id: string
}

const subjectOf = (id: string, user: boolean | undefined): Subject => ({ kind: user ? 'user' : 'org', id })

async function grant(
  session: Session,
  subject: Subject,
  flag: string,
  members: Pick<Grant, 'effect' | 'source'> & { ttlMs: number | undefined },
): Promise<void> {
  const { client, environment, reason } = session
  await requireFlag(session, flag)
  await change(session, subject, async () => {
    // At a keyboard the last word is the one that was meant.
    await revokeAll(session, subject, flag)
    const { ttlMs = GRANT_MS, ...rest } = members
    const to = new Date(Date.now() + ttlMs).toISOString()
    const body = { environment, subject, flag, ...rest, to, reason }
    try {
      return await client.write('POST', '/grants', body)
    } catch (error) {
      if (!(error instanceof ControlError && error.code === 'org_unknown')) throw error
      await client.write('POST', '/orgs', { id: subject.id, name: subject.id, reason })
      return client.write('POST', '/grants', body)
    }
  })
}

async function revoke(session: Session, subject: Subject, flag: string): Promise<void> {
  await requireFlag(session, flag)
  await change(session, subject, () => revokeAll(session, subject, flag))
}

async function revokeAll(session: Session, subject: Subject, flag: string): Promise<Written | undefined> {
  const { client, environment, reason } = session
  const query = new URLSearchParams({ environment, flag, [subject.kind]: subject.id, active: 'true' })
  const { data } = await client.get<{ data: { id: string }[] }>(`/grants?${query}`)
  let last: Written | undefined
  for (const { id } of data) last = await client.write('POST', `/grants/${id}/revoke`, { reason })
  return last
}

/** Makes a change to one subject, and prints what it has before and after. */
async function change(
  { client, environment }: Session,
  subject: Subject,
  make: () => Promise<Written | undefined>,
): Promise<void> {
  const has = async (): Promise<string[] | undefined> => {
    if (subject.kind === 'user') return undefined
    const path = `/orgs/${encodeURIComponent(subject.id)}/entitlements?environment=${environment}`
    const { flags } = await client
      .get<{ flags: { flag: string; on: boolean }[] }>(path)
      .catch(() => ({ flags: [] }))
    return flags.filter(({ on }) => on).map(({ flag }) => flag)
  }
  const before = await has()
  const written = await make()
  const after = await has()
  console.log(`\n${paint('bold', subject.id)}`)
  if (before && after) {
    console.log(`  before  ${list(before)}`)
    console.log(`  after   ${list(after)}`)
  }
  printEffect(subject.id, before, after, written)
  if (written?.data.to) console.log(`  until   ${written.data.to}`)
  await client.settled(environment)
  console.log(`\n${NEXT}`)
}

async function changeRule(
  session: Session,
  flag: string,
  access: 'none' | 'some' | 'all' | undefined,
  { percentage, kill, revive }: RuleOptions,
): Promise<void> {
  await requireFlag(session, flag)
  const { client, environment, reason } = session
  const path = `/flags/${flag}/rules/${environment}`
  const written: Written[] = []
  if (access !== undefined || percentage !== undefined) {
    type Rule = { access: string; percentage: number | null; revision: number }
    const rule = await client.get<Rule>(path)
    const body = { access: access ?? rule.access, percentage: percentage ?? rule.percentage, reason }
    written.push(await client.write('PUT', path, body, rule.revision))
  }
  if (kill || revive) {
    written.push(await client.write('POST', `${path}/${kill ? 'kill' : 'revive'}`, { reason }))
  }
  for (const { effect } of written) {
    for (const { gained, lost } of effect.changes) {
      for (const id of gained.organizations.ids) console.log(`  ${id}  ${paint('green', `+${flag}`)}`)
      for (const id of lost.organizations.ids) console.log(`  ${id}  ${paint('red', `-${flag}`)}`)
      const [more, less] = [gained.organizations.count, lost.organizations.count]
      console.log(`\n${more} organizations gain ${flag}, ${less} lose it.`)
    }
    if (effect.changes.length === 0) console.log(`\nNobody gains or loses ${flag} by it.`)
  }
  await client.settled(environment)
  console.log(`\n${NEXT}`)
}

async function requireFlag({ client, environment }: Session, flag: string): Promise<void> {
  const { data } = await client.get<{ data: { key: string; state: string }[] }>('/flags?limit=200')
  const known = data.filter(({ state }) => state !== 'retired').map(({ key }) => key)
  if (known.includes(flag)) return
  const near = nearNames(flag, known)
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `There are: ${known.join(', ')}.`
  throw new UsageError(`There is no flag "${flag}" in ${environment}. ${hint}`)
}

function program(): Command {
  const command = new Command('npm run entitle --')
    .description('Changes what organizations are entitled to, through the control plane.')
    .addHelpText('after', HELP)
    .option('--environment <name>', 'whose documents', 'production')
    .option('--control <url>', 'the control plane, if it runs', `http://localhost:${CONTROL_PORT}`)
    .addOption(
      new Option('--state <folder>', 'the folder of wrangler dev --persist-to').default(
        STATE,
        '.wrangler/state',
      ),
    )

  const run = (words: string, work: (session: Session) => Promise<void>) =>
    main(() => withControl(command.opts<Common>(), words, work))

  command
    .command('show')
    .description('prints what an organization has and why, or all of them')
    .argument('[org]')
    .action((id?: string) =>
      run('show', ({ client, environment }) =>
        id ? showOne(client, environment, id) : showAll(client, environment),
      ),
    )

  const duration = () =>
    new Option('--for <duration>', 'how long it holds, such as 12h or 90d (default: 30d)').argParser(
      parseDuration,
    )
  const forUser = () => new Option('--user', 'the subject is a user, not an organization')

  for (const [name, effect] of [
    ['grant', 'allow'],
    ['deny', 'deny'],
  ] as const) {
    command
      .command(name)
      .description(
        effect === 'allow'
          ? 'gives a flag to an organization'
          : 'takes a flag away, whatever the contract says',
      )
      .argument('<org>')
      .argument('<flag>')
      .addOption(
        new Option('--source <source>', 'why')
          .choices(['beta', 'support', 'override', 'import'])
          .default('override'),
      )
      .addOption(duration())
      .addOption(forUser())
      .action((id: string, flag: string, { source = 'override', for: ttlMs, user }: GrantOptions) =>
        run(`${name} ${id} ${flag}`, (session) =>
          grant(session, subjectOf(id, user), flag, { effect, source, ttlMs }),
        ),
      )
  }

  command
    .command('revoke')
    .description('ends the grant or denial, so that contract and rule decide again')
    .argument('<org>')
    .argument('<flag>')
    .addOption(forUser())
    .action((id: string, flag: string, { user }: GrantOptions) =>
      run(`revoke ${id} ${flag}`, (session) => revoke(session, subjectOf(id, user), flag)),
    )

  command
    .command('rule')
    .description('changes the rule of a flag for everybody')
    .argument('<flag>')
    .addArgument(new Argument('[access]', 'who has it').choices(['none', 'some', 'all']))
    .option('--percentage <n>', 'how many of the others have it', parsePercentage)
    .addOption(new Option('--kill', 'off for everybody, whatever else says').conflicts('revive'))
    .option('--revive', 'no longer killed')
    .action(async (flag: string, access: 'none' | 'some' | 'all' | undefined, options: RuleOptions) => {
      await main(async () => {
        if (!access && Object.keys(options).length === 0) {
          throw new UsageError('Say what changes: none, some or all, --percentage N, --kill or --revive.')
        }
      })
      if (process.exitCode) return
      await run(`rule ${flag}`, (session) => changeRule(session, flag, access, options))
    })

  return command
}

if (import.meta.main) await program().parseAsync()
