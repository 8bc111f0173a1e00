/** A gateway under test with real Durable Objects behind it. */
import { env } from 'cloudflare:workers'
import type { RefreshSessions } from '../../../src/gateway/sessions/call.ts'
import { FORM, REFRESH_BODY, type Setup, setUp, type TokenAnswer } from './gateway.ts'
import { edges, type RefreshSession } from './worker.ts'

export const PEPPER = 'pepper-of-the-tests-that-nobody-else-has'

type Namespace = DurableObjectNamespace<InstanceType<typeof RefreshSession>>
type Stub = ReturnType<Namespace['getByName']>

export interface SessionSetup extends Setup {
  /** The names of the objects that were called, in order. */
  readonly names: string[]
  /** The object that was called last. */
  object(): Stub
  /** How often upstream was asked for tokens. */
  asked(): number
  /** A refresh with other parameters or headers than the usual. */
  refreshWith(parameters?: Record<string, string>, headers?: Record<string, string>): Promise<Response>
}

/** @param sessions - in place of the real binding */
export async function setUpSessions(
  vars: Record<string, string | undefined> = {},
  sessions?: RefreshSessions,
): Promise<SessionSetup> {
  const setup = await setUp({ SESSION_PEPPER: PEPPER, ...vars })
  const { REFRESH_SESSIONS: namespace } = env as { REFRESH_SESSIONS: Namespace }
  const names: string[] = []
  setup.bindings.REFRESH_SESSIONS = sessions ?? {
    getByName(name) {
      names.push(name)
      return namespace.getByName(name)
    },
  }
  edges.fetch = setup.upstream.fetch as typeof fetch
  edges.now = () => setup.now
  // Every test has refresh tokens of its own, because objects outlive it.
  const refreshToken = crypto.randomUUID()
  return Object.assign(setup, {
    names,
    object: () => namespace.getByName(names.at(-1) as string),
    asked: () => setup.upstream.count('/token') + setup.upstream.count('/user_management/authenticate'),
    refresh: (init?: RequestInit) =>
      setup.request('/token', {
        method: 'POST',
        headers: FORM,
        body: REFRESH_BODY.replace('refresh_token=r1', `refresh_token=${refreshToken}`),
        ...init,
      }),
    refreshWith: (parameters: Record<string, string> = {}, headers: Record<string, string> = {}) =>
      setup.request('/token', {
        method: 'POST',
        headers: { ...FORM, ...headers },
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: refreshToken,
          client_id: 'app',
          ...parameters,
        }).toString(),
      }),
  })
}

export async function answerOf(response: Response): Promise<TokenAnswer> {
  if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`)
  return response.json()
}
