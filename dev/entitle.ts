/**
 * `npm run entitle`: changes the local documents, so that the next refresh through the gateway shows it.
 *
 * It stands in for the control plane on a laptop: no approval and no history, only the documents. What it prints before
 * and after comes from the same evaluation that the gateway runs.
 */
import { resolve } from 'node:path'
import { Argument, Command, Option } from 'commander'
import type { Catalog, Grant, OrgDocument, UserDocument } from '../src/core/documents.ts'
import { evaluate, type Subject } from '../src/core/evaluate.ts'
import { ENVIRONMENT_NAME } from '../src/core/names.ts'
import { main, paint, UsageError } from './cli.ts'
import { difference, newOrg, newUser, withGrant, withoutGrants, withRule } from './entitle/changes.ts'
import { nearNames, parseDuration, parsePercentage } from './entitle/words.ts'
import { type LocalDocuments, openDocuments } from './local_kv.ts'
import { seedMissing } from './seed.ts'
import { STATE } from './wrangler.ts'

const HELP = `
Examples:
  npm run entitle -- show                                        every organization and what it has
  npm run entitle -- show org_acme                               every flag, on or off, and why
  npm run entitle -- grant org_globex advanced-analytics --source beta --for 30d
  npm run entitle -- deny org_acme sso
  npm run entitle -- revoke org_globex advanced-analytics        removes the grant or the denial
  npm run entitle -- grant user_ada new-editor --user            one person instead of the organization
  npm run entitle -- rule new-editor some --percentage 50        half of all organizations
  npm run entitle -- rule advanced-analytics --kill              off for everybody, at once`

const NEXT =
  'The next refresh shows it, at most 5 s from now: so long may the gateway keep a document in memory.'

interface Common {
  environment: string
  state: string
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

async function withDocuments(
  common: Common,
  work: (documents: LocalDocuments, catalog: Catalog) => Promise<void>,
) {
  if (!ENVIRONMENT_NAME.test(common.environment)) {
    throw new UsageError(`"${common.environment}" is not the name of an environment, such as production.`)
  }
  const documents = await openDocuments(common.environment, resolve(common.state))
  try {
    const seeded = await seedMissing(documents)
    if (seeded.length > 0) console.log(`Seeded ${common.environment}: ${seeded.join(', ')}.`)
    const catalog = await documents.catalog()
    if (catalog === null) throw new Error('the catalog that was just seeded is missing')
    await work(documents, catalog)
  } finally {
    await documents.close()
  }
}

async function showAll(documents: LocalDocuments, catalog: Catalog): Promise<void> {
  const width = Math.max(...Object.keys(catalog.flags).map((flag) => flag.length))
  console.log(`\n${paint('bold', `Flags in ${catalog.environment}`)}`)
  for (const [flag, rule] of Object.entries(catalog.flags).sort(([a], [b]) => a.localeCompare(b))) {
    const rollout = rule.percentage === undefined ? '' : `, ${rule.percentage} % rollout`
    console.log(`  ${flag.padEnd(width)}  ${rule.access}${rollout}${rule.killed ? ', killed' : ''}`)
  }
  console.log(`\n${paint('bold', 'Organizations')}`)
  for (const id of await documents.organizations()) {
    const org = await documents.org(id)
    const plans = org?.contracts.map((contract) => contract.plan).join(', ')
    console.log(`  ${id} (${plans || 'no plan'}): ${list(flagsOf(catalog, { orgId: id, org }))}`)
  }
  console.log('')
}

async function showOne(documents: LocalDocuments, catalog: Catalog, id: string): Promise<void> {
  const org = await documents.org(id)
  if (org === null) console.log(`\n${id} has no document: only rules decide.`)
  const { decisions } = evaluate(catalog, { orgId: id, org }, Date.now())
  const width = Math.max(...decisions.map(({ flag }) => flag.length))
  console.log(`\n${paint('bold', id)}`)
  for (const { flag, on, reason } of decisions) {
    console.log(
      `  ${on ? paint('green', 'on ') : paint('dim', 'off')}  ${flag.padEnd(width)}  ${paint('dim', reason)}`,
    )
  }
  console.log('')
}

/** Changes the one subject's document and prints its flags before and after. */
async function changeSubject(
  documents: LocalDocuments,
  catalog: Catalog,
  id: string,
  user: boolean | undefined,
  change: <D extends OrgDocument | UserDocument>(document: D) => D,
): Promise<void> {
  const states: Subject[] = []
  if (user) {
    const before = (await documents.user(id)) ?? newUser(id)
    const after = change(before)
    await documents.saveUser(after)
    states.push({ userId: id, user: before }, { userId: id, user: after })
  } else {
    const before = (await documents.org(id)) ?? newOrg(id)
    const after = change(before)
    await documents.saveOrg(after)
    states.push({ orgId: id, org: before }, { orgId: id, org: after })
  }
  const [before = [], after = []] = states.map((state) => flagsOf(catalog, state))
  printChange(id, before, after)
  console.log(`\n${NEXT}`)
}

async function changeRule(
  documents: LocalDocuments,
  catalog: Catalog,
  flag: string,
  access: 'none' | 'some' | 'all' | undefined,
  { percentage, kill, revive }: RuleOptions,
): Promise<void> {
  requireFlag(catalog, flag)
  const changed = withRule(catalog, flag, {
    ...(access && { access }),
    ...(percentage !== undefined && { percentage }),
    ...((kill || revive) && { killed: Boolean(kill) }),
  })
  await documents.saveCatalog(changed)
  for (const id of await documents.organizations()) {
    const org = await documents.org(id)
    printChange(id, flagsOf(catalog, { orgId: id, org }), flagsOf(changed, { orgId: id, org }))
  }
  console.log(`\n${NEXT}`)
}

function requireFlag(catalog: Catalog, flag: string): void {
  if (Object.hasOwn(catalog.flags, flag)) return
  const known = Object.keys(catalog.flags).sort()
  const near = nearNames(flag, known)
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `There are: ${known.join(', ')}.`
  throw new UsageError(`There is no flag "${flag}" in ${catalog.environment}. ${hint}`)
}

const flagsOf = (catalog: Catalog, subject: Subject): readonly string[] =>
  evaluate(catalog, subject, Date.now()).flags

const list = (flags: readonly string[]): string => flags.join(', ') || 'nothing'

function printChange(id: string, before: readonly string[], after: readonly string[]): void {
  const changes = difference(before, after).map((word) => paint(word.startsWith('+') ? 'green' : 'red', word))
  console.log(`\n${paint('bold', id)}`)
  console.log(`  before  ${list(before)}`)
  console.log(`  after   ${list(after)}`)
  console.log(`          ${changes.join(' ') || paint('dim', 'no change')}`)
}

function program(): Command {
  const command = new Command('npm run entitle --')
    .description('Changes what organizations are entitled to, in the local documents.')
    .addHelpText('after', HELP)
    .option('--environment <name>', 'whose documents', 'production')
    .addOption(
      new Option('--state <folder>', 'the folder of wrangler dev --persist-to').default(
        STATE,
        '.wrangler/state',
      ),
    )

  const run = (work: (documents: LocalDocuments, catalog: Catalog) => Promise<void>) =>
    main(() => withDocuments(command.opts<Common>(), work))

  command
    .command('show')
    .description('prints what an organization has and why, or all of them')
    .argument('[org]')
    .action((id?: string) => run((...local) => (id ? showOne(...local, id) : showAll(...local))))

  const duration = () =>
    new Option('--for <duration>', 'how long it holds, such as 30d or 12h').argParser(parseDuration)
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
        run(async (documents, catalog) => {
          requireFlag(catalog, flag)
          const now = Date.now()
          await changeSubject(documents, catalog, id, user, (document) =>
            withGrant(document, { flag, effect, source }, now, ttlMs),
          )
        }),
      )
  }

  command
    .command('revoke')
    .description('removes the grant or denial, so that contract and rule decide again')
    .argument('<org>')
    .argument('<flag>')
    .addOption(forUser())
    .action((id: string, flag: string, { user }: GrantOptions) =>
      run(async (documents, catalog) => {
        requireFlag(catalog, flag)
        await changeSubject(documents, catalog, id, user, (document) => withoutGrants(document, flag))
      }),
    )

  command
    .command('rule')
    .description('changes the rule of a flag for everybody')
    .argument('<flag>')
    .addArgument(new Argument('[access]', 'who has it').choices(['none', 'some', 'all']))
    .option('--percentage <n>', 'how many of the others have it', parsePercentage)
    .addOption(new Option('--kill', 'off for everybody, whatever else says').conflicts('revive'))
    .option('--revive', 'no longer killed')
    .action((flag: string, access: 'none' | 'some' | 'all' | undefined, options: RuleOptions) =>
      run((documents, catalog) => {
        if (!access && Object.keys(options).length === 0) {
          throw new UsageError('Say what changes: none, some or all, --percentage N, --kill or --revive.')
        }
        return changeRule(documents, catalog, flag, access, options)
      }),
    )

  return command
}

if (import.meta.main) await program().parseAsync()
