/**
 * The commands that the runner, the tools and the demo app print, in one place so that all tell the same story.
 *
 * A printed command can be pasted as it is: it names the state folder and the environment where they are not the
 * defaults, and quotes them for a shell. Also handles options that npm takes because the `--` before them is missing.
 */
import { resolve } from 'node:path'
import { type Command, CommanderError } from 'commander'
import { PROCESS, withIo } from './io.ts'
import { STATE } from './wrangler.ts'

export const ENVIRONMENT = 'production'

export interface Documents {
  state?: string | undefined
  environment?: string | undefined
}

/** How `npm run entitle` is called for these documents; arguments follow. */
export function entitleCommand({ state = STATE, environment = ENVIRONMENT }: Documents = {}): string {
  const options = [
    ...(resolve(state) === STATE ? [] : ['--state', quoted(state)]),
    ...(environment === ENVIRONMENT ? [] : ['--environment', quoted(environment)]),
  ]
  return ['npm run entitle --', ...options].join(' ')
}

/** What the README, the banner and the page show: Globex gets the reports, an incident takes them away, and back. */
export const story = (entitle = entitleCommand()) => ({
  grant: `${entitle} grant org_globex advanced-analytics --source beta --for 30d`,
  kill: `${entitle} rule advanced-analytics --kill`,
  revive: `${entitle} rule advanced-analytics --revive`,
})

const quoted = (text: string): string =>
  /^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/**
 * Runs a command line, unless npm has taken its options: `npm run entitle rule sso --kill` arrives here as `rule sso`, and
 * the option as an npm setting in the environment.
 */
export async function parseCommandLine(
  command: Command,
  io = PROCESS,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const taken = takenByNpm(command, io.env)
  if (taken.length === 0) {
    for (const one of [command, ...command.commands]) {
      one.exitOverride().configureOutput({ writeOut: io.out, writeErr: io.err })
    }
    await withIo(io, () => command.parseAsync(args, { from: 'user' })).catch((error: unknown) => {
      if (!(error instanceof CommanderError)) throw error
      io.exit(error.exitCode)
    })
    return
  }
  // Where an option had a value, npm has left that among the arguments.
  const kept = taken.some(({ usage }) => usage.endsWith('…')) ? [...args.slice(0, 1), '…'] : args
  const example = [command.name(), ...kept, ...taken.map(({ usage }) => usage)]
  const names = taken.map(({ name }) => name).join(', ')
  io.err(`
npm took ${names} for itself. Put -- before the arguments of the command:

  ${example.join(' ')}

`)
  io.exit(1)
}

function takenByNpm(command: Command, env: NodeJS.ProcessEnv) {
  if (env.npm_lifecycle_event === undefined) return []
  const taken = new Map<string, string>()
  for (const option of [command, ...command.commands].flatMap(({ options }) => options)) {
    const name = option.long ?? ''
    const value = env[`npm_config_${name.slice(2).replaceAll('-', '_')}`]
    if (!value || (option.isBoolean() && value !== 'true')) continue
    taken.set(name, option.isBoolean() ? name : `${name} ${value === 'true' ? '…' : value}`)
  }
  return [...taken].map(([name, usage]) => ({ name, usage }))
}
