/**
 * A gateway that is newer than what was published: the documents of an earlier version (`test/fixtures/upgrade`) give the
 * same flags as they gave the gateway of that version.
 */
import { beforeEach, expect, test } from 'vitest'
import published from '../fixtures/upgrade/kv.json?raw'
import * as previous from '../fixtures/upgrade/reader.mjs'
import { FORM, type Setup } from './support/gateway.ts'
import { basic, mintToken, SERVICE, setUpVerification } from './support/tokens.ts'

const kv: Record<string, string> = JSON.parse(published)
const NOW = Date.parse('2026-11-25T06:00:00.000Z')
const ORGS = Object.keys(kv)
  .filter((key) => key.startsWith('org:production:'))
  .map((key) => key.replace('org:production:', ''))

let setup: Setup
beforeEach(async () => {
  setup = await setUpVerification()
  setup.now = NOW
  for (const [key, text] of Object.entries(kv)) await setup.kv.put(key, text)
})

/** What the version before put into a token. */
function flagsBefore(orgId: string, userId: string): readonly string[] {
  const read = (key: string, parse: (text: string) => ReturnType<typeof previous.parseCatalog>) => {
    const text = kv[key]
    if (text === undefined) return undefined
    const parsed = parse(text)
    if (!parsed.ok) throw new Error(`${key}: ${parsed.reason}`)
    return parsed.value
  }
  const catalog = read('catalog:production', (text) => previous.parseCatalog(text, 'production'))
  if (!catalog) throw new Error('no catalog')
  const org = read(`org:production:${orgId}`, (text) => previous.parseOrgDocument(text, orgId))
  const user = read(`user:production:${userId}`, (text) => previous.parseUserDocument(text, userId))
  return previous.evaluateForToken(catalog, { orgId, org, userId, user }, NOW).flags
}

test.each([
  ...ORGS.map((org) => [org, 'user_none']),
  ...[ORGS[0] ?? '', 'org_without_document'].map((org) => [org, 'user_uma']),
])('a token for %s and %s holds what it held before', async (org, sub) => {
  setup.upstream.onToken = () => setup.upstream.tokens(setup.upstream.claims({ org_id: org, sub }))
  const claims = await setup.verified((await setup.refreshed()).access_token)
  expect(claims.feature_flags_meta).toMatchObject({ src: 'fresh' })
  expect(claims.feature_flags).toEqual(flagsBefore(org, sub))
  expect(claims.feature_flags).toContain('help-center')
})

test('a session that had been ended is still refused', async () => {
  const denied = Object.keys(kv).flatMap((key) => /^revoked:production:sid:(.+)$/.exec(key)?.[1] ?? [])
  expect(denied).toHaveLength(1)
  const active = async (sid: string | undefined) => {
    const token = await mintToken(setup, { sid, jti: `token_of_${sid}` })
    const answer = await setup.request('/introspect', {
      method: 'POST',
      headers: { ...FORM, authorization: basic(SERVICE.name, SERVICE.secret) },
      body: new URLSearchParams({ token }).toString(),
    })
    return (await answer.json<{ active: boolean }>()).active
  }
  expect(await active(denied[0])).toBe(false)
  expect(await active('another')).toBe(true)
})
