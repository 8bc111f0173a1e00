/**
 * Bindings and vars -> `Config`, the only place that reads the environment. Pure.
 *
 * All problems are reported at once, by name, and never with a value. What is configured is on: without OIDC vars there
 * are no OIDC operators, without Access vars no Access assertions, and API keys always work.
 */
import * as z from 'zod'
import { ENVIRONMENT_NAME } from '../core/names.ts'
import { isSecureUrl } from '../core/secure_url.ts'
import { ROLES, type Role } from './roles.ts'

/** The asymmetric JWS algorithms that operators' tokens may use. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

const MAX_ENVIRONMENTS = 8

const CI_PROVIDERS = ['github', 'gitlab'] as const
/** A CI system whose identity tokens say who started a pipeline. */
export type CiProvider = (typeof CI_PROVIDERS)[number]
const CI_ISSUERS: Readonly<Record<CiProvider, string>> = {
  github: 'https://token.actions.githubusercontent.com',
  gitlab: 'https://gitlab.com',
}

/** The part of a Workers KV namespace that the publisher uses. */
export interface DocumentsKV {
  get(keys: string[], options: { type: 'text' }): Promise<Map<string, string | null>>
  put(key: string, value: string): Promise<void>
}

/** How the app reaches the publisher of an environment, which lives in a Durable Object. */
export interface PublisherNamespace {
  getByName(name: string): PublisherStub
}

export interface PublisherStub {
  /** Publishes what is pending in the environment. */
  publish(environment: string): Promise<void>
  rebuild(environment: string): Promise<void>
  progress(environment: string): Promise<RebuildProgress | null>
  repair(environment: string): Promise<void>
}

/** The name of the one inbox. */
export const INBOX_NAME = 'inbox'

/** The name of the one scheduler. */
export const SCHEDULER_NAME = 'scheduler'

/** How the app reaches the scheduler. */
export interface SchedulerNamespace {
  getByName(name: string): SchedulerStub
}

export interface SchedulerStub {
  /** Applies scheduled changes at that time (epoch milliseconds), or at an earlier one that was given before. */
  wakeAt(at: number): Promise<void>
  /** Applies what is due, and checks whether open requests are stale. */
  tick(): Promise<void>
  /** Starts a drift pass. If one is running, another one follows it. */
  startDrift(): Promise<DriftProgress>
  driftProgress(): Promise<DriftProgress>
  /** Continues a pass, or starts one when it is due. */
  checkDrift(): Promise<void>
}

/** The name of the scheduler for drift, separate so that scheduled changes never wait for it. */
export const DRIFT_NAME = 'drift'

export interface DriftProgress {
  readonly running: {
    readonly started_at: string
    readonly stage: string
    /** Checked so far. */
    readonly organizations: number
  } | null
  /** The last complete pass. */
  readonly last: {
    readonly started_at: string
    readonly completed_at: string
    readonly findings: number
    readonly organizations: number
    readonly documents: number
    readonly mints: number
    /** Tokens that it did not check, because there were too many since the pass before. */
    readonly mints_skipped: number
  } | null
}

export interface RebuildProgress {
  readonly total: number
  readonly written: number
  readonly started_at: string
  readonly finished_at: string | null
}

export interface ControlBindings {
  DB: D1Database
  ENTITLEMENTS: KVNamespace
  PUBLISHER: PublisherNamespace
  SCHEDULER: SchedulerNamespace
  /** Its stubs are an `InboxStub`. */
  INBOX: { getByName(name: string): object }
  ENVIRONMENTS: string
  OIDC_ISSUER?: string
  OIDC_AUDIENCE?: string
  OIDC_JWKS_URL?: string
  OIDC_ALGORITHMS?: string
  ACCESS_TEAM_DOMAIN?: string
  ACCESS_AUDIENCE?: string
  ACCESS_ROLES?: string
  ROLES_CLAIM?: string
  TEAMS_CLAIM?: string
  OWNERS?: string
  CI_PROVIDER?: string
  CI_ISSUER?: string
  CI_AUDIENCE?: string
  CI_PROJECTS?: string
}

export interface TokenIssuer {
  readonly issuer: string
  readonly audience: string
  readonly algorithms: readonly string[]
  /** `undefined`: from the discovery document. */
  readonly jwksUrl: string | undefined
}

export interface Config {
  /** In the order of promotion; the last one is protected. */
  readonly environments: readonly string[]
  readonly rolesClaim: string
  /** The claim with an operator's teams, named like the owners of flags. */
  readonly teamsClaim: string
  /** Everybody who may own a flag, people and teams; `undefined`: there is no list. */
  readonly owners: ReadonlySet<string> | undefined
  readonly oidc: TokenIssuer | undefined
  /** With roles by e-mail address, for identity providers that send none. */
  readonly access: (TokenIssuer & { readonly roles: ReadonlyMap<string, readonly Role[]> }) | undefined
  /** Whose identity tokens say who started a pipeline, and of which projects, in lower case. */
  readonly ci:
    | (TokenIssuer & { readonly provider: CiProvider; readonly projects: ReadonlySet<string> })
    | undefined
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly string[] }

const required = 'is required'
const url = z.string(required).refine(isSecureUrl, 'must be an https URL (http is accepted for localhost)')
const list = (value: string) => value.split(',').map((name) => name.trim())

const assignments = z
  .string()
  .transform(list)
  .refine(
    (pairs) => pairs.every((pair) => /^[^=\s]+@[^=\s]+=[\w|-]+$/.test(pair) && rolesOf(pair) !== undefined),
    `must be address=role pairs such as ada@example.com=admin, with roles of ${ROLES.join(', ')} joined by |`,
  )
  .transform((pairs) => new Map(pairs.map((pair) => [addressOf(pair), rolesOf(pair) ?? []])))

const addressOf = (pair: string): string => pair.slice(0, pair.indexOf('=')).toLowerCase()

function rolesOf(pair: string): Role[] | undefined {
  const roles = pair.slice(pair.indexOf('=') + 1).split('|')
  return roles.every((role): role is Role => (ROLES as readonly string[]).includes(role)) ? roles : undefined
}

const binding = (member: string, what: string) =>
  z.custom<object>(
    (value) => typeof (value as Record<string, unknown> | undefined)?.[member] === 'function',
    `must be ${what} binding`,
  )

const varsSchema = z.object({
  DB: binding('prepare', 'a D1'),
  ENTITLEMENTS: binding('put', 'a KV namespace'),
  PUBLISHER: binding('getByName', 'a Durable Object'),
  SCHEDULER: binding('getByName', 'a Durable Object'),
  INBOX: binding('getByName', 'a Durable Object'),
  ENVIRONMENTS: z
    .string(required)
    .transform(list)
    .refine(
      (names) =>
        names.length <= MAX_ENVIRONMENTS &&
        new Set(names).size === names.length &&
        names.every((name) => ENVIRONMENT_NAME.test(name)),
      `must be 1 to ${MAX_ENVIRONMENTS} different lower-case names such as staging,production`,
    ),
  OIDC_ISSUER: url.optional(),
  OIDC_AUDIENCE: z.string().min(1, 'must not be empty').optional(),
  OIDC_JWKS_URL: url.optional(),
  OIDC_ALGORITHMS: z
    .string()
    .default('RS256,ES256')
    .transform(list)
    .refine(
      (names) => names.every((name) => ALGORITHMS.includes(name)),
      `must be a comma-separated list of ${ALGORITHMS.join(', ')}`,
    ),
  ACCESS_TEAM_DOMAIN: url.optional(),
  ACCESS_AUDIENCE: z.string().min(1, 'must not be empty').optional(),
  ACCESS_ROLES: assignments.optional(),
  ROLES_CLAIM: z.string().min(1, 'must not be empty').default('remint_roles'),
  TEAMS_CLAIM: z.string().min(1, 'must not be empty').default('remint_teams'),
  OWNERS: z
    .string()
    .transform(list)
    .refine(
      (names) => names.every((name) => name !== ''),
      'must be names of people and teams, such as team-growth,user:ada',
    )
    .optional(),
  CI_PROVIDER: z.enum(CI_PROVIDERS, `must be one of ${CI_PROVIDERS.join(', ')}`).optional(),
  CI_ISSUER: url.optional(),
  CI_AUDIENCE: z.string().min(1, 'must not be empty').optional(),
  CI_PROJECTS: z
    .string()
    .transform(list)
    .refine(
      (names) => names.every((name) => /^[\w.-]+(?:\/[\w.-]+)+$/.test(name)),
      'must be repositories or projects such as acme/flags,acme/infra',
    )
    .optional(),
})

export function parseConfig(bindings: object): ConfigResult {
  const parsed = varsSchema.safeParse(bindings)
  const problems = [
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    ...together(bindings, 'OIDC_ISSUER', 'OIDC_AUDIENCE'),
    ...together(bindings, 'ACCESS_TEAM_DOMAIN', 'ACCESS_AUDIENCE'),
    ...together(bindings, 'CI_PROVIDER', 'CI_AUDIENCE'),
    ...together(bindings, 'CI_PROVIDER', 'CI_PROJECTS'),
    ...needs(bindings, 'CI_ISSUER', 'CI_PROVIDER'),
  ]
  if (!parsed.success || problems.length > 0) return { ok: false, problems }
  const vars = parsed.data
  const team = vars.ACCESS_TEAM_DOMAIN
  return {
    ok: true,
    config: {
      environments: vars.ENVIRONMENTS,
      rolesClaim: vars.ROLES_CLAIM,
      teamsClaim: vars.TEAMS_CLAIM,
      owners: vars.OWNERS && new Set(vars.OWNERS),
      oidc:
        vars.OIDC_ISSUER !== undefined && vars.OIDC_AUDIENCE !== undefined
          ? {
              issuer: vars.OIDC_ISSUER,
              audience: vars.OIDC_AUDIENCE,
              algorithms: vars.OIDC_ALGORITHMS,
              jwksUrl: vars.OIDC_JWKS_URL,
            }
          : undefined,
      access:
        team !== undefined && vars.ACCESS_AUDIENCE !== undefined
          ? {
              issuer: team,
              audience: vars.ACCESS_AUDIENCE,
              algorithms: ['RS256'],
              jwksUrl: `${team}/cdn-cgi/access/certs`,
              roles: vars.ACCESS_ROLES ?? new Map(),
            }
          : undefined,
      ci: ciOf(vars),
    },
  }
}

function ciOf({
  CI_PROVIDER: provider,
  CI_ISSUER,
  CI_AUDIENCE,
  CI_PROJECTS,
}: z.infer<typeof varsSchema>): Config['ci'] {
  if (provider === undefined || CI_AUDIENCE === undefined || CI_PROJECTS === undefined) return undefined
  return {
    provider,
    issuer: CI_ISSUER ?? CI_ISSUERS[provider],
    audience: CI_AUDIENCE,
    algorithms: ['RS256'],
    jwksUrl: undefined,
    projects: new Set(CI_PROJECTS.map((name) => name.toLowerCase())),
  }
}

type Name = keyof ControlBindings

/** Without an audience, any token of the issuer would be accepted. */
function together(bindings: Partial<Record<Name, unknown>>, one: Name, other: Name): string[] {
  const [first, second] = [bindings[one] !== undefined, bindings[other] !== undefined]
  if (first === second) return []
  return first ? [`${other}: is required with ${one}`] : [`${one}: is required with ${other}`]
}

function needs(bindings: Partial<Record<Name, unknown>>, one: Name, other: Name): string[] {
  return bindings[one] === undefined || bindings[other] !== undefined
    ? []
    : [`${other}: is required with ${one}`]
}
