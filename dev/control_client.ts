/**
 * The control plane's API for the command line tools: one call, its problem as a sentence, and waiting until a change
 * is published.
 */

import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isSecureUrl } from '../src/core/secure_url.ts'
import { type Running, UsageError } from './cli.ts'
import { startControl } from './control.ts'
import { io, report } from './io.ts'
import { localKey } from './local_key.ts'
import { freePorts } from './network.ts'
import { parsePrintable } from './printable.ts'
import { seedControl } from './seed_control.ts'

const PUBLISH_TIMEOUT_MS = 15_000
const POLL_MS = 50
const TIMEOUT_MS = 10_000

/** The control plane refused a request; `code` is the stable code of the problem. */
export class ControlError extends UsageError {
  override name = 'ControlError'
  readonly code: string

  constructor(code: string, detail: string) {
    super(detail)
    this.code = code
  }
}

export interface Written {
  readonly data: { readonly revision: number; readonly to?: string | null }
}

/** The write became a change request, because the policy of an environment requires approval. */
export class AskedError extends UsageError {
  override name = 'AskedError'

  constructor(change: string) {
    super(
      `The policy requires approval by somebody else. The change is not applied yet; it was requested as\n  ${change}\n(GET /api/v1/changes/${change} shows it; continue with POST …/approve and …/apply).`,
    )
  }
}

interface Problem {
  readonly code: string
  readonly detail: string
  readonly errors?: object[]
}

export class ControlClient {
  readonly url: string
  readonly #key: string

  constructor(url: string, key: string) {
    if (!isSecureUrl(url)) {
      throw new UsageError(`An API key goes over https, or to this machine; ${url} is neither.`)
    }
    this.url = url
    this.#key = key
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path)
  }

  /** Everything of a list, page by page. */
  async all<T>(path: string): Promise<T[]> {
    const rows: T[] = []
    let cursor: string | null = null
    do {
      const next: string = cursor === null ? '' : `&cursor=${cursor}`
      const page: { data: readonly T[]; next_cursor: string | null } = await this.get(
        `${path}${path.includes('?') ? '&' : '?'}limit=200${next}`,
      )
      rows.push(...page.data)
      cursor = page.next_cursor
    } while (cursor !== null)
    return rows
  }

  /** @param body - with the reason; @param revision - for `If-Match` */
  write<T = Written>(
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: object,
    revision?: number,
  ): Promise<T> {
    return this.#call<T>(method, path, body, revision)
  }

  /** A request with a body that does not write a row. */
  post<T>(path: string, body: object): Promise<T> {
    return this.#call<T>('POST', path, body)
  }

  /** Waits until every document of the environment is published. */
  async settled(environment: string): Promise<void> {
    const deadline = Date.now() + PUBLISH_TIMEOUT_MS
    for (;;) {
      const { data } = await this.get<{ data: { environment: string; out_of_step: number }[] }>('/publishing')
      const status = data.find((one) => one.environment === environment)
      if (!status?.out_of_step) return
      if (Date.now() > deadline)
        throw new UsageError('The change is stored, but not published yet. Check GET /api/v1/publishing.')
      await sleep(POLL_MS)
    }
  }

  async #call<T>(method: string, path: string, body?: object, revision?: number): Promise<T> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#key}`,
        ...(body && { 'content-type': 'application/json' }),
        ...(revision !== undefined && { 'if-match': `"${revision}"` }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((cause: Error) => {
      throw new UsageError(`The control plane at ${this.url} does not respond: ${cause.message}`)
    })
    const answer = parsePrintable(await response.text()) as T &
      Problem & { data?: { id?: string; state?: string } }
    if (response.status === 202 && answer.data?.id?.startsWith('change_'))
      throw new AskedError(answer.data.id)
    if (response.ok) return answer
    const errors = answer.errors ? ` ${JSON.stringify(answer.errors)}` : ''
    throw new ControlError(answer.code, `${answer.detail}${errors}`)
  }
}

export interface ReachOptions {
  /** Where a control plane may be running. */
  readonly control: string
  /** The state folder whose control plane is meant. */
  readonly state: string
}

/**
 * The control plane that `REMINT_API_KEY` belongs to, if it is set. Otherwise that of the state folder: the running one,
 * or one that is started for this command alone. It is seeded if it is empty.
 */
export async function reachControl(running: Running, options: ReachOptions): Promise<ControlClient> {
  const { REMINT_API_KEY: remoteKey } = io().env
  if (remoteKey) return new ControlClient(options.control.replace(/\/$/, ''), remoteKey)
  const state = resolve(options.state)
  const client = (await runningClient(options.control, state)) ?? (await startOwn(running, state))
  const seeded = await seedControl(client, state)
  // On stderr, because stdout may be redirected to a file.
  if (seeded.length > 0) report(`Seeded production: ${seeded.join(', ')}.`)
  return client
}

/** The running control plane, if it belongs to this folder: then it accepts the folder's key. */
async function runningClient(url: string, state: string): Promise<ControlClient | undefined> {
  const key = await localKey(state)
  if (key === undefined) return undefined
  const client = new ControlClient(url.replace(/\/$/, ''), key)
  return client.get('/me').then(
    () => client,
    () => undefined,
  )
}

async function startOwn(running: Running, state: string): Promise<ControlClient> {
  const [port = 0] = await freePorts(1)
  const { url, key } = running.add(await startControl({ port, persistTo: state }))
  return new ControlClient(url, key)
}
