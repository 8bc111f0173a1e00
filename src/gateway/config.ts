/**
 * Bindings and vars -> `Config`, the only place that reads the environment. Pure.
 *
 * All problems are reported at once, by name, and never with a value: a secret pasted into the wrong var must not
 * appear in `/healthz`. What is configured is on; there are no `enabled` flags.
 */
import * as z from 'zod'
import type { MintEvent } from '../core/mint_event.ts'
import { ENVIRONMENT_NAME } from '../core/names.ts'
import { isSecureUrl } from '../core/secure_url.ts'
import type { RefreshSessions } from './sessions/call.ts'

/** The asymmetric JWS algorithms that upstream may use. HMAC and `none` cannot be configured. */
const UPSTREAM_ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA'],
]

/** The part of a Workers KV namespace that the gateway uses. */
export interface EntitlementsKV {
  get(keys: string[], options: { type: 'text'; cacheTtl?: number }): Promise<Map<string, string | null>>
  /** Only for the denylist; the control plane writes every other document. */
  put(key: string, value: string, options: { expirationTtl: number }): Promise<void>
}

export interface MintLogMessage {
  readonly body: MintEvent
  readonly contentType: 'json'
}

/** The part of a Cloudflare Queue that the gateway uses. */
export interface MintLogQueue {
  sendBatch(messages: readonly MintLogMessage[]): Promise<unknown>
}

/** The Worker's environment. Vars are strings; `SIGNING_KEYS`, `SESSION_PEPPER` and `VERIFIERS` are secrets. */
export interface GatewayBindings {
  ENTITLEMENTS: EntitlementsKV
  ENVIRONMENT: string
  ISSUER: string
  UPSTREAM_PROFILE: string
  UPSTREAM_ORIGIN: string
  UPSTREAM_ISSUER: string
  UPSTREAM_AUDIENCE?: string
  UPSTREAM_CLIENT_ID?: string
  UPSTREAM_TOKEN_PATHS?: string
  UPSTREAM_ALGORITHMS?: string
  UPSTREAM_TIMEOUT_MS?: string
  CLOCK_SKEW_SECONDS?: string
  GUARD_ORIGIN?: string
  TOKEN_ISSUER?: string
  TOKEN_MAX_SECONDS?: string
  STALE_MAX_SECONDS?: string
  ORG_CLAIM?: string
  STRIP_HEADERS?: string
  REFRESH_REUSE_SECONDS?: string
  SIGNING_KEYS: string
  VERIFIERS?: string
  /** Without it every refresh goes to upstream directly. */
  REFRESH_SESSIONS?: RefreshSessions
  SESSION_PEPPER?: string
  /** Without it no mint events are sent. */
  MINT_LOG?: MintLogQueue
}

export type ProfileName = 'oidc' | 'workos'

/** A service that may ask about anyone, known by the SHA-256 of its secret; two while the secret is being changed. */
export interface Verifier {
  readonly name: string
  readonly digests: readonly Uint8Array[]
}

export interface Config {
  readonly environment: string
  /** The gateway's public origin. */
  readonly issuer: string
  /** The `iss` of minted tokens. */
  readonly tokenIssuer: string
  /** Earlier values of the `iss` of minted tokens, accepted until those tokens have expired. */
  readonly formerIssuers: readonly string[]
  readonly tokenMaxSeconds: number
  readonly staleMaxSeconds: number
  /** How far upstream's clock may be ahead. */
  readonly clockSkewSeconds: number
  /** The claim, or the path, that names the organization. */
  readonly orgClaim: string
  /** An origin of the gateway that serves only guards. */
  readonly guardOrigin: string | undefined
  /** Further request headers that upstream must not receive, in lower case. */
  readonly stripHeaders: readonly string[]
  /** Services that may ask about anyone. */
  readonly verifiers: readonly Verifier[]
  /** How long upstream's answer to a refresh is replayed. */
  readonly reuseSeconds: number
  readonly upstream: {
    readonly profile: ProfileName
    readonly origin: string
    /** The issuer by which upstream's discovery document is found, and which `preserve` keeps. */
    readonly issuer: string
    /** Every `iss` that upstream's tokens may have. */
    readonly issuers: readonly string[]
    /** An access token has one of these audiences … */
    readonly audiences: readonly string[]
    /** … or, if it has none, is for one of these clients. */
    readonly clientIds: readonly string[]
    /** Further paths at which upstream issues tokens. */
    readonly tokenPaths: readonly string[]
    readonly algorithms: readonly string[]
    readonly timeoutMs: number
  }
}

/** Whether minted tokens carry upstream's `iss`, so that both key sets belong to one issuer. */
export const preservesIssuer = (config: Config): boolean => config.tokenIssuer === config.upstream.issuer

/** Whether a token may be the gateway's by its `iss`, or could have been before the configuration changed. */
export const isOwnIssuer = (iss: unknown, { tokenIssuer, formerIssuers }: Config): boolean =>
  iss === tokenIssuer || formerIssuers.includes(iss as string)

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly string[] }

/** WorkOS's own interval, and one that covers a client's first retries elsewhere. */
const REUSE_SECONDS: Readonly<Record<ProfileName, number>> = { workos: 30, oidc: 10 }

/** A shorter one could be guessed offline from the name of an object and a refresh token. */
const MIN_PEPPER_LENGTH = 32
/** Random hexadecimal has more; one repeated letter is not a secret, however long. */
const MIN_PEPPER_CHARACTERS = 8

const required = 'is required'
const url = z.string(required).refine(isSecureUrl, {
  message: 'must be an https URL (http is accepted for localhost, 127.0.0.1 and [::1])',
  abort: true,
})
const origin = url.refine(
  (value) => URL.canParse(value) && new URL(value).origin === value,
  'must be an origin such as https://auth.example.com, without a path or a trailing slash',
)
const integer = (minimum: number, maximum: number) =>
  z
    .string()
    .refine(
      (value) => /^\d{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum,
      `must be a whole number from ${minimum} to ${maximum}`,
    )
    .transform(Number)

const items = (value: string): string[] => value.split(',').map((item) => item.trim())

const list = (form: RegExp, message: string) =>
  z
    .string()
    .transform(items)
    .refine((values) => values.every((item) => form.test(item)), message)

const digests = z
  .union([z.string(), z.array(z.string()).min(1).max(4)])
  .transform((value) => (typeof value === 'string' ? [value] : value))
  .refine((values) => values.every((value) => /^[0-9a-f]{64}$/i.test(value)))
  .transform((values) => values.map((value) => Uint8Array.from(value.match(/../g) ?? [], parseHexByte)))
const parseHexByte = (byte: string): number => Number.parseInt(byte, 16)
/** A name is also a client id, which HTTP Basic puts before a colon. */
const verifiersSchema = z.record(z.string().regex(/^[\w.-]{1,64}$/), digests)

const varsSchema = z.object({
  ENTITLEMENTS: z.custom<EntitlementsKV>(
    (value) => typeof (value as EntitlementsKV | undefined)?.get === 'function',
    'must be a KV namespace binding',
  ),
  ENVIRONMENT: z.string(required).regex(ENVIRONMENT_NAME, 'must be a lower-case name such as production'),
  ISSUER: origin,
  UPSTREAM_PROFILE: z.enum(['oidc', 'workos'], 'must be oidc or workos'),
  UPSTREAM_ORIGIN: origin,
  UPSTREAM_ISSUER: z
    .string(required)
    .transform(items)
    .refine((issuers) => issuers.every(isSecureUrl), {
      message:
        'must be an https URL, or several with commas between them (http is accepted for localhost, 127.0.0.1 and [::1])',
      abort: true,
    }),
  UPSTREAM_AUDIENCE: list(/./, 'must be an audience, or several with commas between them').optional(),
  UPSTREAM_CLIENT_ID: list(
    /^(?!.*\.\.)[\w.:/@-]+$/,
    'must be a client id such as client_01ABC, or for oidc several with commas between them',
  ).optional(),
  UPSTREAM_TOKEN_PATHS: list(
    /^\/[^?#]*$/,
    'must be paths such as /common/oauth2/v2.0/token, with commas between them',
  ).default([]),
  UPSTREAM_ALGORITHMS: z
    .string()
    .default('RS256,ES256')
    .transform((value) => value.split(',').map((name) => name.trim()))
    .refine(
      (names) => names.every((name) => UPSTREAM_ALGORITHMS.includes(name)),
      `must be a comma-separated list of ${UPSTREAM_ALGORITHMS.join(', ')}`,
    ),
  UPSTREAM_TIMEOUT_MS: integer(100, 25_000).default(10_000),
  TOKEN_ISSUER: z
    .union([z.enum(['gateway', 'preserve']), url], 'must be gateway, preserve or an https URL')
    .optional(),
  TOKEN_MAX_SECONDS: integer(30, 86_400).default(300),
  STALE_MAX_SECONDS: integer(0, 604_800).default(3600),
  CLOCK_SKEW_SECONDS: integer(0, 300).default(60),
  GUARD_ORIGIN: origin.optional(),
  ORG_CLAIM: z
    .string()
    .refine(
      (path) => path.split('.').every((name) => name !== ''),
      'must be a claim such as org_id, or a path such as o.id or organization.*.id',
    )
    .default('org_id'),
  STRIP_HEADERS: list(
    /^[a-z0-9-]+$/i,
    'must be a comma-separated list of header names such as x-my-proxy-user',
  ).default([]),
  VERIFIERS: z
    .string()
    .default('{}')
    .transform((value, context): readonly Verifier[] => {
      const parsed = verifiersSchema.safeParse(parseJson(value))
      if (parsed.success) return Object.entries(parsed.data).map(([name, digests]) => ({ name, digests }))
      context.addIssue(
        'must be a JSON object of names, each with the hexadecimal SHA-256 of a secret, or a list of them',
      )
      return z.NEVER
    }),
  REFRESH_REUSE_SECONDS: integer(0, 60).optional(),
  REFRESH_SESSIONS: z
    .custom<RefreshSessions>(
      (value) => typeof (value as RefreshSessions | undefined)?.getByName === 'function',
      'must be a Durable Object binding of the class RefreshSession',
    )
    .optional(),
  SESSION_PEPPER: z
    .string()
    .min(
      MIN_PEPPER_LENGTH,
      `must have at least ${MIN_PEPPER_LENGTH} characters: make one with \`openssl rand -hex 32\``,
    )
    .refine(
      (value) => value.length < MIN_PEPPER_LENGTH || new Set(value).size >= MIN_PEPPER_CHARACTERS,
      `must have at least ${MIN_PEPPER_CHARACTERS} different characters: make one with \`openssl rand -hex 32\``,
    )
    .optional(),
  MINT_LOG: z
    .custom<MintLogQueue>(
      (value) => typeof (value as MintLogQueue | undefined)?.sendBatch === 'function',
      'must be a Queue binding',
    )
    .optional(),
  SIGNING_KEYS: z.string(
    'is required: a private JWK Set as JSON, made by `npm run keys -- generate` in Remint’s repository',
  ),
})

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Reads and checks the environment; `SIGNING_KEYS` is only looked for here and parsed by the keyring. */
export function parseConfig(bindings: object): ConfigResult {
  const parsed = varsSchema.safeParse(bindings)
  const problems = [
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    ...contradictions(bindings),
  ]
  if (!parsed.success || problems.length > 0) return { ok: false, problems }
  const vars = parsed.data

  const [issuer = ''] = vars.UPSTREAM_ISSUER
  const issuerPolicy = vars.TOKEN_ISSUER ?? (vars.UPSTREAM_PROFILE === 'workos' ? 'preserve' : 'gateway')
  const tokenIssuer =
    issuerPolicy === 'gateway'
      ? ownIssuer(vars.ISSUER, issuer)
      : issuerPolicy === 'preserve'
        ? issuer
        : issuerPolicy
  return {
    ok: true,
    config: {
      environment: vars.ENVIRONMENT,
      issuer: vars.ISSUER,
      tokenIssuer,
      formerIssuers:
        issuerPolicy === 'gateway' ? spellings(vars.ISSUER).filter((one) => one !== tokenIssuer) : [],
      tokenMaxSeconds: vars.TOKEN_MAX_SECONDS,
      staleMaxSeconds: vars.STALE_MAX_SECONDS,
      clockSkewSeconds: vars.CLOCK_SKEW_SECONDS,
      orgClaim: vars.ORG_CLAIM,
      guardOrigin: vars.GUARD_ORIGIN,
      stripHeaders: vars.STRIP_HEADERS.map((name) => name.toLowerCase()),
      verifiers: vars.VERIFIERS,
      reuseSeconds: vars.REFRESH_REUSE_SECONDS ?? REUSE_SECONDS[vars.UPSTREAM_PROFILE],
      upstream: {
        profile: vars.UPSTREAM_PROFILE,
        origin: vars.UPSTREAM_ORIGIN,
        issuer,
        issuers: vars.UPSTREAM_ISSUER,
        audiences: vars.UPSTREAM_AUDIENCE ?? [],
        clientIds: vars.UPSTREAM_CLIENT_ID ?? [],
        tokenPaths: vars.UPSTREAM_TOKEN_PATHS,
        algorithms: vars.UPSTREAM_ALGORITHMS,
        timeoutMs: vars.UPSTREAM_TIMEOUT_MS,
      },
    },
  }
}

/** Clients that expect upstream's issuer to end with a slash (Auth0's do) expect the same of the gateway's. */
const ownIssuer = (issuer: string, upstreamIssuer: string): string =>
  upstreamIssuer.endsWith('/') ? `${issuer}/` : issuer

const spellings = (issuer: string): string[] => [issuer, `${issuer}/`]

/** Combinations of vars that are not allowed. */
function contradictions(bindings: Partial<Record<keyof GatewayBindings, unknown>>): string[] {
  const problems: string[] = []
  if (bindings.ISSUER !== undefined && bindings.ISSUER === bindings.UPSTREAM_ORIGIN) {
    problems.push('UPSTREAM_ORIGIN: must not be the gateway itself (ISSUER)')
  }
  const { UPSTREAM_AUDIENCE: audience, UPSTREAM_CLIENT_ID: clientId } = bindings
  if (bindings.UPSTREAM_PROFILE === 'oidc' && audience === undefined && clientId === undefined) {
    problems.push(
      'UPSTREAM_AUDIENCE: is required for the oidc profile: the aud of the access tokens to accept. Where they have none, set UPSTREAM_CLIENT_ID to the client_id that they have',
    )
  }
  if (bindings.UPSTREAM_PROFILE === 'workos' && clientId === undefined) {
    problems.push('UPSTREAM_CLIENT_ID: is required for the workos profile: whose key set to use')
  }
  const isOneId = typeof clientId !== 'string' || /^[\w.-]+$/.test(clientId)
  if (bindings.UPSTREAM_PROFILE === 'workos' && !isOneId) {
    problems.push('UPSTREAM_CLIENT_ID: must be one client id such as client_01ABC for the workos profile')
  }
  if (bindings.GUARD_ORIGIN !== undefined && bindings.GUARD_ORIGIN === bindings.ISSUER) {
    problems.push('GUARD_ORIGIN: must be another origin than ISSUER: there is nothing but guards under it')
  }
  if (bindings.REFRESH_SESSIONS !== undefined && bindings.SESSION_PEPPER === undefined) {
    problems.push(
      'SESSION_PEPPER: is required with the binding REFRESH_SESSIONS: make one with `openssl rand -hex 32`',
    )
  }
  if (bindings.REFRESH_SESSIONS === undefined && bindings.REFRESH_REUSE_SECONDS !== undefined) {
    problems.push('REFRESH_REUSE_SECONDS: has no effect without the binding REFRESH_SESSIONS')
  }
  if (bindings.ISSUER !== undefined && bindings.ISSUER === bindings.UPSTREAM_ISSUER) {
    if (bindings.TOKEN_ISSUER !== 'preserve') {
      problems.push(
        'TOKEN_ISSUER: must be preserve where upstream itself speaks for ISSUER: both key sets are published',
      )
    }
  }
  return problems
}
