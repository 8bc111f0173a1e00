/**
 * A client of the gateway as an SDK makes one: certified code that speaks the protocol, and around it the retries that
 * SDKs have: again on a lost connection, 429 and 5xx, and the end of the session on `invalid_grant`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as oidc from 'openid-client'
import { API_AUDIENCE } from '../../dev/idp.ts'
import { logIn } from '../../dev/login.ts'

const REDIRECT_URI = 'http://localhost:8789/callback'
/** As `@workos-inc/node` has it: three retries, from half a second on, half as much longer each time. */
const RETRIES = 3
const FIRST_PAUSE_MS = 500
const PAUSE_FACTOR = 1.5

type Session = Awaited<ReturnType<typeof logIn>>

export class Client {
  readonly #issuer: string
  #session: Session | undefined

  constructor(issuer: string) {
    this.#issuer = issuer
  }

  /** A session that works: the one at hand, or a new one after the last was lost. */
  async start(): Promise<void> {
    this.#session ??= await logIn({ issuer: this.#issuer, account: 'user_ada', redirectUri: REDIRECT_URI })
  }

  /**
   * Refreshes as an SDK does. @returns what it saw, attempt by attempt
   *
   * @param between - runs before each retry, when the Worker may have to be started again
   */
  async refresh(between: () => Promise<void>): Promise<string[]> {
    const saw: string[] = []
    for (let retry = 0; ; retry++) {
      const { status, ended } = await this.#attempt()
      saw.push(status)
      if (ended || retry === RETRIES) return saw
      await between()
      await sleep(FIRST_PAUSE_MS * PAUSE_FACTOR ** retry)
    }
  }

  /** Sends a refresh whose answer it never sees. */
  async lose(): Promise<void> {
    const session = this.#session as Session
    const before = session.tokens
    await this.#attempt()
    session.tokens = before
  }

  /** Sends a refresh and hangs up as soon as `left` settles. */
  async leave(left: Promise<unknown>): Promise<void> {
    const session = this.#session as Session
    const hangUp = new AbortController()
    const request = oidc.refreshTokenGrant(withSignal(session.config, hangUp.signal), tokenOf(session))
    await Promise.race([left, request.catch(() => {})])
    hangUp.abort()
    await request.catch(() => {})
    session.config[oidc.customFetch] = fetch as oidc.CustomFetch
  }

  /** Whether the tokens at hand are good: the access token verifies, and the next refresh works. */
  async isAlive(): Promise<boolean> {
    const session = this.#session as Session
    try {
      session.tokens = await oidc.refreshTokenGrant(session.config, tokenOf(session))
      const keys = createRemoteJWKSet(new URL(session.config.serverMetadata().jwks_uri as string))
      await jwtVerify(session.tokens.access_token, keys, { audience: API_AUDIENCE })
      return true
    } catch {
      this.#session = undefined
      return false
    }
  }

  async #attempt(): Promise<{ status: string; ended: boolean }> {
    const session = this.#session as Session
    try {
      session.tokens = await oidc.refreshTokenGrant(session.config, tokenOf(session))
      return { status: 'tokens', ended: true }
    } catch (error) {
      if (!(error instanceof oidc.ResponseBodyError)) return { status: describe(error), ended: false }
      const { status, error: code } = error
      return { status: `${status} ${code}`, ended: status < 500 && status !== 429 }
    }
  }
}

const tokenOf = ({ tokens }: Session): string => tokens.refresh_token as string

function withSignal(config: oidc.Configuration, signal: AbortSignal): oidc.Configuration {
  config[oidc.customFetch] = (url, options) => fetch(url, { ...(options as RequestInit), signal })
  return config
}

function describe(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause
  return cause instanceof Response ? String(cause.status) : 'connection lost'
}
