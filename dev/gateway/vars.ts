/**
 * The vars of a gateway that is started by hand: their names, how they are typed, and their effective values. Pure.
 *
 * An unknown name is refused, because wrangler would accept it and the gateway would keep the value that it has: a typo
 * would put it in front of the wrong identity provider.
 */
import { type Config, type GatewayBindings, parseConfig } from '../../src/gateway/config.ts'
import { UsageError } from '../cli.ts'
import { nearNames } from '../entitle/words.ts'
import type { Vars } from '../wrangler.ts'

type Binding = 'ENTITLEMENTS' | 'REFRESH_SESSIONS' | 'MINT_LOG'
type Secret = 'SIGNING_KEYS' | 'SESSION_PEPPER' | 'VERIFIERS'

/** What belongs into `.dev.vars` or the environment, not on a command line. */
export const SECRETS: readonly string[] = ['SIGNING_KEYS', 'SESSION_PEPPER', 'VERIFIERS'] satisfies Secret[]

/** The compiler checks that these are the names that the gateway reads. */
const NAMES = {
  ENVIRONMENT: true,
  ISSUER: true,
  UPSTREAM_PROFILE: true,
  UPSTREAM_ORIGIN: true,
  UPSTREAM_ISSUER: true,
  UPSTREAM_AUDIENCE: true,
  UPSTREAM_CLIENT_ID: true,
  UPSTREAM_ALGORITHMS: true,
  UPSTREAM_TIMEOUT_MS: true,
  TOKEN_ISSUER: true,
  TOKEN_MAX_SECONDS: true,
  STALE_MAX_SECONDS: true,
  REFRESH_REUSE_SECONDS: true,
  ORG_CLAIM: true,
  STRIP_HEADERS: true,
  CLOCK_SKEW_SECONDS: true,
  GUARD_ORIGIN: true,
  UPSTREAM_TOKEN_PATHS: true,
} satisfies Record<Exclude<keyof GatewayBindings, Binding | Secret>, true>

const KNOWN = Object.keys(NAMES)
const MAX_HINTS = 3

/** `NAME:VALUE` pairs, or `NAME=VALUE` as shells and `.dev.vars` have it. */
export function parseVars(pairs: readonly string[]): Record<string, string> {
  const vars: Record<string, string> = {}
  for (const pair of pairs) {
    const [, name = '', value = ''] = /^(\w+)[:=](.*)$/s.exec(pair) ?? []
    if (name === '') throw new UsageError(`"${pair}" is not a var. Write NAME:VALUE.`)
    const problem = problemOfName(name)
    if (problem) throw new UsageError(problem)
    vars[name] = value
  }
  return vars
}

/** Why the name is not a var of the command line, or `null`. */
export function problemOfName(name: string): string | null {
  if (Object.hasOwn(NAMES, name)) return null
  if (SECRETS.includes(name)) {
    return `${name} is a secret, and every user of this machine can read a command line: put it into .dev.vars or the environment.`
  }
  const near = nearNames(name, KNOWN).slice(0, MAX_HINTS)
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `There are: ${KNOWN.join(', ')}.`
  return `The gateway has no var ${name}. ${hint}`
}

export interface VarSources {
  port: number
  /** Of `wrangler.toml`: they are those of `npm start`. */
  project: Vars
  /** Of `.dev.vars`. */
  file: Vars
  /** Of the command line. */
  given: Vars
}

export interface ResolvedVars {
  /** What to pass to wrangler, over the files. */
  vars: Vars
  config: Config
  /** Whether upstream is not that of `npm start`. */
  foreign: boolean
}

/** @throws UsageError which names everything that is missing or wrong */
export function resolveVars({ port, project, file, given }: VarSources): ResolvedVars {
  const upstream = given.UPSTREAM_ORIGIN ?? file.UPSTREAM_ORIGIN
  const foreign = upstream !== undefined && upstream !== project.UPSTREAM_ORIGIN
  const vars: Record<string, string | undefined> = {
    ISSUER: file.ISSUER ?? `http://localhost:${port}`,
    // The issuer and the audience in wrangler.toml are the demo's; another IdP does not know them.
    ...(foreign && { UPSTREAM_ISSUER: file.UPSTREAM_ISSUER ?? upstream }),
    ...(foreign && !file.UPSTREAM_AUDIENCE && { UPSTREAM_AUDIENCE: undefined }),
    ...given,
  }
  const effective = Object.entries({ ...project, ...file, ...vars })
  const result = parseConfig({
    ...Object.fromEntries(effective.filter(([, value]) => value !== undefined)),
    // Wrangler adds these; the gateway itself checks them.
    ENTITLEMENTS: { get: () => undefined },
    SIGNING_KEYS: '',
  })
  if (result.ok) return { vars, config: result.config, foreign }
  throw new UsageError(`The gateway cannot run like this:

${result.problems.map((problem) => `  ${problem}`).join('\n')}

Give vars as --var NAME:VALUE, or as NAME=value lines in .dev.vars.`)
}
