/**
 * What every client goes through: a log-in, a refresh, a flag that is changed meanwhile, and a log-out. A library is one
 * `Client`; what is asserted is the same for all of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Running } from '../../../dev/cli.ts'
import { verify } from '../../e2e/support/stage.ts'
import type { Provider, ProviderName } from './stacks.ts'

/** An app that uses the library, and the person in front of it. */
export interface Client {
  /** @returns the access token that the app then has */
  logIn(): Promise<string>
  refresh(): Promise<string>
  logOut(): Promise<void>
}

export interface Story {
  readonly provider: ProviderName
  /** Whether the library's log-out names the session to the gateway, so that `live` refuses its tokens at once. */
  readonly deniesTokens: boolean
  open(provider: Provider, running: Running): Promise<Client>
}

const FLAG = 'scim'
/** The gateway keeps a document for at most 5 s; the rest is for a slow machine. */
const CHANGE_TIMEOUT_MS = 30_000
const POLL_MS = 500

export function tell(library: string, { provider: name, deniesTokens, open }: Story): void {
  const running = new Running()
  let provider: Provider
  let client: Client
  let token: string

  const desk = async (method: string, query = ''): Promise<Provider> => {
    const response = await fetch(`${inject('desk')}/${name}${query}`, { method })
    if (!response.ok) throw new Error(await response.text())
    return (await response.json()) as Provider
  }

  describe(library, () => {
    beforeAll(async () => {
      provider = await desk('GET')
      client = await open(provider, running)
    })
    afterAll(() => running.close())

    test('logs in, and the app has a token with the flags of now', async () => {
      token = await client.logIn()
      expect(decodeJwt(token)).toMatchObject({
        iss: provider.issuer,
        org_id: 'org_acme',
        feature_flags: expect.arrayContaining(['csv-export', 'sso']),
        feature_flags_meta: { src: 'fresh' },
      })
      expect(await verify(provider.url, token)).toMatchObject({ active: true })
    })

    test('refreshes', async () => {
      const refreshed = await client.refresh()
      expect(decodeJwt(refreshed).jti).not.toBe(decodeJwt(token).jti)
      expect(decodeJwt(refreshed).sub).toBe(decodeJwt(token).sub)
      expect(await verify(provider.url, refreshed)).toMatchObject({ active: true })
      token = refreshed
    })

    test('has a flag that was changed in a refreshed token', async () => {
      const before = flagsOf(token)
      const on = !before.includes(FLAG)
      await desk('PUT', `?flag=${FLAG}&on=${on}`)
      const expected = on ? [...before, FLAG].sort() : before.filter((flag) => flag !== FLAG)
      const deadline = Date.now() + CHANGE_TIMEOUT_MS
      do {
        await sleep(POLL_MS)
        token = await client.refresh()
      } while (flagsOf(token).includes(FLAG) !== on && Date.now() < deadline)
      expect(flagsOf(token)).toEqual(expected)
      expect(await verify(provider.url, token, { all: [FLAG] })).toMatchObject({ active: true, allowed: on })
    })

    test(`logs out, and ${deniesTokens ? 'live refuses its token' : 'its token lives until it expires'}`, async () => {
      await client.logOut()
      await expect(client.refresh()).rejects.toThrow()
      const headers = { authorization: `Bearer ${token}` }
      const { status } = await fetch(`${provider.url}/guard?freshness=live`, { headers })
      expect(status).toBe(deniesTokens ? 401 : 200)
    })
  })
}

const flagsOf = (token: string): string[] => decodeJwt<{ feature_flags: string[] }>(token).feature_flags
