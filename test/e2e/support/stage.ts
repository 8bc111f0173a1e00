/**
 * What end-to-end tests share whichever way the gateway is run: what a running gateway offers, and what the seeded
 * documents say.
 */
import { decodeJwt, type JWTPayload } from 'jose'
import { shownLine } from '../../../dev/log_lines.ts'
import { freePorts } from '../../../dev/network.ts'
import type { LogLine } from '../../../src/gateway/log.ts'
import { eventually } from '../../support/eventually.ts'

/** What Ada's organization is entitled to by the seeded documents, and what is on for everybody. */
export const ACME_FLAGS = ['advanced-analytics', 'audit-log', 'csv-export', 'priority-support', 'sso']
export const EVERYBODY_FLAGS = ['csv-export']

export interface TestGateway {
  readonly url: string
  /** The structured lines that the gateway has written so far. */
  readonly log: readonly LogLine[]
  /** Waits for a line, which is written after the answer. */
  logged(matches: (line: LogLine) => boolean): Promise<LogLine>
}

/** Reads a gateway's output line by line. */
export function readLog(): { log: LogLine[]; read(output: string): void; logged: TestGateway['logged'] } {
  const log: LogLine[] = []
  return {
    log,
    read(output) {
      const line = shownLine(output)
      if (line?.startsWith('{"level"')) log.push(JSON.parse(line))
    },
    logged: (matches) => eventually(() => log.find(matches), 'a log line'),
  }
}

/** A port for a gateway whose address must be known before it is started. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1)
  if (port === undefined) throw new Error('no port is free')
  return port
}

interface MintedClaims extends JWTPayload {
  readonly feature_flags: string[]
  readonly feature_flags_meta: { env: string; ver: string; as_of: number; src: string }
}

/** The claims of an access token, unverified: for what is claimed, not for who says so. */
export const claimsOf = (token: string): MintedClaims => decodeJwt<MintedClaims>(token)

/** The ids of the keys that the gateway itself signs with. */
export async function ownKids(gateway: string): Promise<string[]> {
  const response = await fetch(`${gateway}/remint/jwks.json`)
  return ((await response.json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
}

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
