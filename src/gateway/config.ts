/**
 * Bindings and vars -> `Config`, the only place that reads the environment. Pure.
 *
 * All problems are reported at once, by name, and never with a value: a secret pasted into the wrong var must not
 * come out in an answer of `/healthz`. What is configured is on; there are no `enabled` flags.
 */
import * as z from 'zod'
import { ENVIRONMENT_NAME } from '../core/documents.ts'

/** The asymmetric JWS algorithms that upstream may use. HMAC and `none` cannot be configured. */
export const UPSTREAM_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const

export type UpstreamAlgorithm = (typeof UPSTREAM_ALGORITHMS)[number]

/** The part of a Workers KV namespace that the gateway uses. */
export interface EntitlementsKV {
  get(keys: string[], options: { type: 'text'; cacheTtl?: number }): Promise<Map<string, string | null>>
}

/** What the Worker's environment must hold; see DESIGN or the README for the vars. */
export interface GatewayBindings {
  ENTITLEMENTS: EntitlementsKV
  ENVIRONMENT: string
  ISSUER: string
  UPSTREAM_PROFILE: string
  UPSTREAM_ORIGIN: string
  UPSTREAM_ISSUER: string
  UPSTREAM_AUDIENCE?: string
  UPSTREAM_CLIENT_ID?: string
  UPSTREAM_ALGORITHMS?: string
  UPSTREAM_TIMEOUT_MS?: string
  TOKEN_ISSUER?: string
  TOKEN_MAX_SECONDS?: string
  STALE_MAX_SECONDS?: string
  ORG_CLAIM?: string
  SIGNING_KEYS: string
}
