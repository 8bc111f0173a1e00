/**
 * What every end-to-end test stands on: a folder of state with the demo's documents in it, and gateways that are real
 * Workers in workerd, on ports that were free a moment ago.
 *
 * Everything that is started is handed to a `Running`, which `afterAll` closes, so that nothing survives a failed test.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt, type JWTPayload } from 'jose'
import type { Running } from '../../../dev/cli.ts'
import { startGateway } from '../../../dev/gateway.ts'
import { freePorts } from '../../../dev/network.ts'
import { seed } from '../../../dev/seed.ts'
import type { Vars } from '../../../dev/wrangler.ts'
import type { LogLine } from '../../../src/gateway/log.ts'

/** What Ada's organization is entitled to by the seeded documents, and what is on for everybody. */
export const ACME_FLAGS = ['advanced-analytics', 'audit-log', 'csv-export', 'priority-support', 'sso']
export const EVERYBODY_FLAGS = ['csv-export']

const LOG_TIMEOUT_MS = 10_000
const POLL_MS = 20

export interface TestGateway {
  readonly url: string
  /** The folder with its documents. */
  readonly state: string
  /** The structured lines that the gateway has written so far. */
  readonly log: LogLine[]
  /** Waits for a line, which is written after the answer. */
  logged(matches: (line: LogLine) => boolean): Promise<LogLine>
}

/** A new state folder with the demo's documents, of which every gateway gets a copy. */
export async function openState(running: Running): Promise<string> {
  const state = await newFolder(running)
  await seed('production', state)
  return state
}

async function newFolder(running: Running): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'remint-e2e-'))
  running.add({ close: () => rm(folder, { recursive: true, force: true }) })
  return folder
}

/** A port for a gateway whose address must be known before it is started. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1)
  if (port === undefined) throw new Error('no port is free')
  return port
}

export interface GatewayOptions {
  readonly state: string
  readonly vars: Vars
  readonly port?: number
  readonly signingKeys?: string
}

/** Starts a gateway on its own copy of the documents: Workers that start at once would lock each other out of one. */
export async function openGateway(running: Running, options: GatewayOptions): Promise<TestGateway> {
  const { vars, port = await freePort(), signingKeys } = options
  const state = await newFolder(running)
  await cp(options.state, state, { recursive: true })
  const log: LogLine[] = []
  const gateway = await startGateway({
    port,
    vars,
    persistTo: state,
    ...(signingKeys && { signingKeys }),
    onLine: (line) => {
      // wrangler decorates what goes to the error stream.
      const json = /\{"level".*\}/.exec(line)?.[0]
      if (json !== undefined) log.push(JSON.parse(json))
    },
  })
  running.add(gateway)
  return {
    url: gateway.url,
    state,
    log,
    logged: (matches) => eventually(() => log.find(matches), 'a log line'),
  }
}

/** What `find` gives once it gives something. */
export async function eventually<T>(
  find: () => T | undefined | Promise<T | undefined>,
  what: string,
): Promise<T> {
  const deadline = Date.now() + LOG_TIMEOUT_MS
  while (Date.now() < deadline) {
    const found = await find()
    if (found !== undefined) return found
    await sleep(POLL_MS)
  }
  throw new Error(`${what} did not come within ${LOG_TIMEOUT_MS / 1000} s`)
}

interface MintedClaims extends JWTPayload {
  readonly feature_flags: string[]
  readonly feature_flags_meta: { env: string; ver: string; as_of: number; src: string }
}

/** The claims of an access token, unverified: for what is claimed, not for who says so. */
export const claimsOf = (token: string): MintedClaims => decodeJwt<MintedClaims>(token)

/** Asks the gateway about a token. */
export async function verify(
  gateway: string,
  token: string,
  features: { all?: string[]; any?: string[] } = {},
): Promise<Record<string, unknown>> {
  const response = await fetch(`${gateway}/verify`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, features }),
  })
  if (response.status !== 200) throw new Error(`/verify answered ${response.status}`)
  return (await response.json()) as Record<string, unknown>
}
