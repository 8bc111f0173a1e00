/**
 * `npm run entitle`: changes what organizations have, through the control plane, so that the next refresh through the
 * gateway shows it.
 *
 * If no control plane runs on the state folder, one is started for this command. What is printed before and after comes
 * from the same evaluation that the gateway runs.
 */

import { Argument, Command, Option } from 'commander'
import type { Catalog, Grant } from '../src/core/documents.ts'
import { ENVIRONMENT_NAME } from '../src/core/names.ts'
import { main, Running, UsageError } from './cli.ts'
import { ENVIRONMENT, parseCommandLine } from './commands.ts'
import { CONTROL_PORT } from './control.ts'
import { reachControl } from './control_client.ts'
import { changeRule, changeSubject, type Target } from './entitle/apply.ts'
import { withGrant, withoutGrants } from './entitle/changes.ts'
import { governedDocuments } from './entitle/governed.ts'
import { showAll, showOrg, showUser } from './entitle/show.ts'
import { nearNames, parseDuration, parsePercentage } from './entitle/words.ts'
import { io } from './io.ts'
import { STATE } from './wrangler.ts'

const HELP = `
Examples:
  npm run entitle -- show                                        every organization and its flags
  npm run entitle -- show org_acme                               every flag, on or off, and why
  npm run entitle -- grant org_globex advanced-analytics --source beta --for 30d
  npm run entitle -- grant org_acme scim --ticket SUP-123 --reason 'Outage credit'
  npm run entitle -- deny org_acme sso
  npm run entitle -- revoke org_globex advanced-analytics        removes the grant or the denial
  npm run entitle -- grant user_ada new-editor --user            one person instead of the organization
  npm run entitle -- rule new-editor some --percentage 50        half of all organizations
  npm run entitle -- rule advanced-analytics --kill              off for everybody, at once
  npm run entitle -- rule advanced-analytics --revive            on again

With REMINT_API_KEY set, --control may be a deployed control plane.`

/** Grants made by hand must end. */
const GRANT_MS = 30 * 86_400_000

interface Common {
  reason?: string
  ticket?: string
  environment: string
  state: string
  control: string
}

interface Write {
  readonly typed: readonly string[]
  /** Whether an organization that does not exist yet may be created. */
  readonly create?: boolean | undefined
}

interface GrantOptions {
  create?: boolean
  source?: Grant['source']
  for?: number
  user?: boolean
}

interface RuleOptions {
  percentage?: number
  kill?: boolean
  revive?: boolean
}

/** @param write - what is to be written: the command as it was typed is the reason where no better one is given */
async function withDocuments(
  common: Common,
  write: Write | undefined,
  work: (target: Target) => Promise<void>,
): Promise<void> {
  if (!ENVIRONMENT_NAME.test(common.environment)) {
    throw new UsageError(`"${common.environment}" is not the name of an environment, such as production.`)
  }
  const running = new Running()
  try {
    const client = await reachControl(running, common)
    const { reason = `npm run entitle -- ${write?.typed.join(' ')}`, ticket } = common
    if (write && common.reason === undefined && io().env.REMINT_API_KEY) {
      throw new UsageError('Say why with --reason: the audit log of a shared control plane keeps it.')
    }
    const documents = governedDocuments(client, common.environment, { reason, ticket })
    const catalog = await documents.catalog()
    if (catalog === null) throw new Error('the control plane has no catalog')
    await work({ documents, catalog, state: common.state, create: write?.create ?? false })
    await client.settled(common.environment)
  } finally {
    await running.close()
  }
}

function requireFlag(catalog: Catalog, flag: string): void {
  if (Object.hasOwn(catalog.flags, flag)) return
  const known = Object.keys(catalog.flags).sort()
  const near = nearNames(flag, known)
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `There are: ${known.join(', ')}.`
  throw new UsageError(`There is no flag "${flag}" in ${catalog.environment}. ${hint}`)
}

/** An override or help from support is owed to a ticket; without one, drift would report the grant at once. */
function sourceOf(source: Grant['source'] | undefined, ticket: string | undefined): Grant['source'] {
  if (source === undefined) return ticket === undefined ? 'beta' : 'override'
  if (ticket === undefined && (source === 'override' || source === 'support')) {
    throw new UsageError(`A grant with the source ${source} needs a ticket: --ticket SUP-123.`)
  }
  return source
}

export function program(): Command {
  const command = new Command('npm run entitle --')
    .description('Changes what organizations are entitled to, through the control plane.')
    .addHelpText('after', HELP)
    .option('--environment <name>', 'the environment to read and change', ENVIRONMENT)
    .option('--control <url>', 'the control plane, if it runs', `http://localhost:${CONTROL_PORT}`)
    .addOption(
      new Option('--state <folder>', 'the folder of wrangler dev --persist-to').default(
        STATE,
        '.wrangler/state',
      ),
    )
    .option('--reason <text>', 'why, for the audit log (required with REMINT_API_KEY)')
    .option('--ticket <id>', 'the ticket that asked for it, for the audit log')

  const run = (work: (target: Target) => Promise<void>, write?: Write) =>
    main(() => withDocuments(command.opts<Common>(), write, work))

  const forUser = () => new Option('--user', 'the subject is a user, not an organization')

  command
    .command('show')
    .description('prints the flags of an organization and why they are on or off; without one, of all')
    .argument('[org]')
    .addOption(forUser())
    .action((id: string | undefined, { user }: GrantOptions) =>
      run(async ({ documents, catalog }) => {
        if (user && !id) throw new UsageError('Name the user: show user_ada --user.')
        if (!id) return showAll(documents, catalog)
        return user ? showUser(documents, catalog, id) : showOrg(documents, catalog, id)
      }),
    )

  const duration = () =>
    new Option('--for <duration>', 'how long it holds, such as 12h or 90d (default: 30d)').argParser(
      parseDuration,
    )

  for (const [name, effect] of [
    ['grant', 'allow'],
    ['deny', 'deny'],
  ] as const) {
    command
      .command(name)
      .description(
        effect === 'allow' ? 'grants a flag to an organization' : 'denies a flag, whatever the contract says',
      )
      .argument('<org>')
      .argument('<flag>')
      .addOption(
        new Option(
          '--source <source>',
          'what kind of grant it is (default: override with --ticket, else beta)',
        ).choices(['beta', 'support', 'override', 'import']),
      )
      .option('--create', 'create the organization if it does not exist')
      .addOption(duration())
      .addOption(forUser())
      .action((id: string, flag: string, { for: ttlMs = GRANT_MS, user, create, ...options }: GrantOptions) =>
        run(
          async (target) => {
            const source = sourceOf(options.source, command.opts<Common>().ticket)
            requireFlag(target.catalog, flag)
            const now = Date.now()
            await changeSubject(target, {
              id,
              user,
              flag,
              asked: effect === 'allow',
              change: (document) => withGrant(document, { flag, effect, source }, now, ttlMs),
            })
          },
          { typed: [name, id, flag], create },
        ),
      )
  }

  command
    .command('revoke')
    .description('removes the grant or denial, so that contract and rule decide again')
    .argument('<org>')
    .argument('<flag>')
    .addOption(forUser())
    .action((id: string, flag: string, { user }: GrantOptions) =>
      run(
        async (target) => {
          requireFlag(target.catalog, flag)
          await changeSubject(target, {
            id,
            user,
            flag,
            asked: undefined,
            change: (document) => withoutGrants(document, flag),
          })
        },
        { typed: ['revoke', id, flag] },
      ),
    )

  command
    .command('rule')
    .description('changes the rule of a flag for everybody')
    .argument('<flag>')
    .addArgument(new Argument('[access]', 'who has the flag').choices(['none', 'some', 'all']))
    .option('--percentage <n>', 'the share of the other organizations that have it', parsePercentage)
    .addOption(
      new Option('--kill', 'off for everybody, whatever grants and contracts say').conflicts('revive'),
    )
    .option('--revive', 'no longer killed')
    .action((flag: string, access: 'none' | 'some' | 'all' | undefined, options: RuleOptions) =>
      run(
        async (target) => {
          const { percentage, kill, revive } = options
          if (!access && Object.keys(options).length === 0) {
            throw new UsageError(
              'Nothing to change: give none, some or all, --percentage N, --kill or --revive.',
            )
          }
          requireFlag(target.catalog, flag)
          await changeRule(target, flag, {
            ...(access && { access }),
            ...(percentage !== undefined && { percentage }),
            ...((kill || revive) && { killed: Boolean(kill) }),
          })
        },
        {
          typed: [
            'rule',
            flag,
            ...(access ? [access] : []),
            ...Object.keys(options).map((name) => `--${name}`),
          ],
        },
      ),
    )

  return command
}

if (import.meta.main) await parseCommandLine(program())
