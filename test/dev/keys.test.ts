/**
 * Key rotation: the transitions as a table over values, then the tool on a real file, with tokens that
 * jose verifies against what the gateway would publish. Time passes by editing the times in the file, never the clock.
 */
import { lstat, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, importJWK, jwtVerify, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeKey, readSet, writeSet } from '../../dev/keys/file.ts'
import {
  ALGORITHMS,
  addNext,
  firstSet,
  isPrivate,
  type KeySet,
  promote,
  publicHalf,
  retire,
  SECRET_MAX_BYTES,
  sizeBytes,
  stateOf,
  type Transition,
} from '../../dev/keys/rotation.ts'
import { program } from '../../dev/keys.ts'
import { loadKeyring } from '../../src/gateway/signing_keys/keyring.ts'
import { type Outcome, runCommand } from '../support/command.ts'

const T0 = new Date('2026-11-22T09:00:00Z')
const at = (seconds: number) => new Date(T0.getTime() + seconds * 1000)
const states = (set: KeySet) => set.keys.map((key) => stateOf(set, key))
const kids = (set: KeySet) => set.keys.map((key) => key.kid)

function accepted<T extends { ok: boolean }>(transition: T): Extract<T, { ok: true }> {
  expect(transition).toMatchObject({ ok: true })
  return transition as Extract<T, { ok: true }>
}

describe('transitions', async () => {
  const [a, b, c] = await Promise.all([
    makeKey('ES256', T0),
    makeKey('ES256', T0),
    makeKey('ES256', at(5000)),
  ])
  const one = accepted(firstSet([a], T0)).set
  const two = accepted(addNext(one, b)).set
  const rotated = accepted(promote(two, at(660))).set
  const undated = { keys: two.keys.map(({ created_at, ...key }) => key) }

  const cases: [name: string, run: () => Transition, expected: object][] = [
    ['a second next key is refused', () => addNext(two, c), { ok: false, reason: 'next_exists' }],
    [
      'nothing can be promoted before it is published',
      () => promote(one, T0),
      { ok: false, reason: 'no_next' },
    ],
    [
      'promote waits for 10 minutes of cache and 1 of roll-out',
      () => promote(two, at(659)),
      { ok: false, reason: 'too_early', safeAt: at(660) },
    ],
    ['promote goes ahead when every cache has expired', () => promote(two, at(660)), { ok: true }],
    ['a forced promote does not wait', () => promote(two, T0, { force: true }), { ok: true }],
    [
      'without a time promote refuses',
      () => promote(undated, at(1e6)),
      { ok: false, reason: 'time_unknown' },
    ],
    ['without a time promote can be forced', () => promote(undated, T0, { force: true }), { ok: true }],
    [
      'nothing is retired before a promote',
      () => retire(two, at(1e6)),
      { ok: false, reason: 'nothing_retired' },
    ],
    [
      'retire waits for the last token, the roll-out and the skew',
      () => retire(rotated, at(660 + 419)),
      { ok: false, reason: 'too_early', safeAt: at(660 + 420) },
    ],
    ['retire follows the life of tokens', () => retire(rotated, at(660 + 420), 900), { reason: 'too_early' }],
    ['retire drops what is due', () => retire(rotated, at(660 + 420)), { ok: true, dropped: [a.kid] }],
    [
      'a forced retire does not wait',
      () => retire(rotated, at(660), 300, true),
      { ok: true, dropped: [a.kid] },
    ],
  ]
  test.each(cases)('%s', (_, run, expected) => {
    expect(run()).toMatchObject(expected)
  })

  test('the first key signs, the next one waits behind it, the retired one keeps its public half', () => {
    expect([states(one), states(two), states(rotated)]).toEqual([
      ['active'],
      ['active', 'next'],
      ['active', 'retired'],
    ])
    expect(kids(rotated)).toEqual([b.kid, a.kid])
    expect(rotated.keys.map(isPrivate)).toEqual([true, false])
    expect(rotated.keys[1]).toEqual({
      ...publicHalf(a),
      promoted_at: '2026-11-22T09:00:00Z',
      retired_at: '2026-11-22T09:11:00Z',
    })
  })

  describe('with a key of a second algorithm, for ID tokens', async () => {
    const rsa = await makeKey('RS256', T0)
    const rsaNext = await makeKey('RS256', T0)
    const both = accepted(firstSet([a, rsa], T0)).set

    test('both are active at once, and neither waits', () => {
      expect(states(both)).toEqual(['active', 'active'])
      expect(promote(both, at(1e6))).toEqual({ ok: false, reason: 'no_next' })
    })

    test.each([
      ['the key of access tokens', b, [b.kid, rsa.kid, a.kid]],
      ['the key of ID tokens', rsaNext, [a.kid, rsaNext.kid, rsa.kid]],
    ])('%s is replaced by one of its algorithm, in its place', (_, next, expected) => {
      const set = accepted(promote(accepted(addNext(both, next)).set, at(660))).set
      expect(kids(set)).toEqual(expected)
      expect(states(set)).toEqual(['active', 'active', 'retired'])
    })

    test('one of a third algorithm takes the place of the first', async () => {
      const third = await makeKey('EdDSA', T0)
      const set = accepted(promote(accepted(addNext(both, third)).set, at(660))).set
      expect([kids(set), states(set)]).toEqual([
        [third.kid, rsa.kid, a.kid],
        ['active', 'active', 'retired'],
      ])
    })

    test('an older set gets one beside its first key, published before it signs', () => {
      const waiting = accepted(addNext(one, rsa)).set
      expect(states(waiting)).toEqual(['active', 'next'])
      expect(promote(waiting, at(659), { beside: true })).toMatchObject({ reason: 'too_early' })
      const set = accepted(promote(waiting, at(660), { beside: true })).set
      expect([kids(set), states(set)]).toEqual([
        [a.kid, rsa.kid],
        ['active', 'active'],
      ])
      expect(set.keys.every(isPrivate)).toBe(true)
    })

    test('beside a key of its own algorithm it would never sign', () => {
      expect(promote(two, at(660), { beside: true })).toEqual({ ok: false, reason: 'same_algorithm' })
    })
  })

  test('a transition leaves the set that it was given as it was', () => {
    expect(two.keys.map(isPrivate)).toEqual([true, true])
    expect(kids(two)).toEqual([a.kid, b.kid])
  })

  test('retire keeps the keys that are not due and the next key', () => {
    const third = accepted(addNext(rotated, c)).set
    const again = accepted(promote(third, at(6000))).set
    const { set, dropped } = accepted(retire(again, at(6000)))
    expect(dropped).toEqual([a.kid])
    expect(kids(set)).toEqual([c.kid, b.kid])
  })

  test('no private member survives retirement, whatever the algorithm', async () => {
    for (const alg of ALGORITHMS) {
      const key = await makeKey(alg, T0)
      expect(Object.keys(publicHalf({ ...key, k: 'x', oth: [] })).sort()).toEqual(
        [...PUBLIC[alg], 'alg', 'created_at', 'kid', 'kty', 'use'].sort(),
      )
    }
  })

  test('a set that is as long as the gateway takes gets no further key', () => {
    const retired = publicHalf(a)
    const set = { keys: [b, ...Array.from({ length: 7 }, () => retired)] }
    expect(addNext(set, c)).toEqual({ ok: false, reason: 'too_many' })
  })

  test('a set that a secret cannot hold is refused before it is written', async () => {
    const rsa = await Promise.all([0, 1, 2].map(() => makeKey('RS256', T0)))
    const padding = Array.from({ length: 5 }, (_, i) => ({ ...publicHalf(rsa[0] as never), kid: `${i}` }))
    const result = addNext({ keys: [rsa[1] as never, ...padding] }, rsa[2] as never)
    expect(result).toMatchObject({ ok: false, reason: 'too_large' })
  })
})

const PUBLIC = { ES256: ['crv', 'x', 'y'], RS256: ['e', 'n'], EdDSA: ['crv', 'x'] }

describe('the tool', () => {
  let folder: string
  let file: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'remint-keys-'))
    file = join(folder, 'secrets', 'keys.json')
  })
  afterEach(() => rm(folder, { recursive: true }))

  const read = async () => JSON.parse(await readFile(file, 'utf8')) as KeySet

  const privateValues = async () =>
    [...(await readFile(file, 'utf8').catch(() => '')).matchAll(/"(?:d|p|q|dp|dq|qi)":"([^"]{9,})"/g)].map(
      ([, value]) => value as string,
    )

  /** Runs one command; whatever it prints is searched for private members. */
  async function keys(...args: string[]): Promise<Outcome> {
    const before = await privateValues()
    const result = await runCommand(program(), ['--file', file, ...args])
    for (const value of [...before, ...(await privateValues())]) expect(result.output).not.toContain(value)
    expect(result.stdout).not.toContain('"d"')
    return result
  }

  /** Lets time pass for the set: all of its times move back. */
  async function age(seconds: number): Promise<void> {
    const moved = (await readFile(file, 'utf8')).replace(/"(\w+_at)":"([^"]+)"/g, (_, name, at) =>
      JSON.stringify({ [name]: new Date(Date.parse(at) - seconds * 1000).toISOString() }).slice(1, -1),
    )
    await writeFile(file, moved)
  }

  async function sign(): Promise<string> {
    const key = (await read()).keys[0]
    if (!key) throw new Error('no key')
    const header = { alg: key.alg, kid: key.kid, typ: 'at+jwt' }
    return new SignJWT({}).setProtectedHeader(header).sign(await importJWK(key, key.alg))
  }

  /** Verifies as a service downstream does that has just fetched what the gateway makes of the file. */
  async function verify(token: string): Promise<string> {
    const loaded = await loadKeyring(await readFile(file, 'utf8'))
    if (!loaded.ok) throw new Error(loaded.problems.join())
    const published = { keys: [...loaded.keyring.published] }
    expect(published.keys.some(isPrivate)).toBe(false)
    return jwtVerify(token, createLocalJWKSet(published)).then(
      () => 'valid',
      (error) => error.code,
    )
  }

  test('help explains the order of the steps', async () => {
    const { code, stdout } = await keys('--help')
    expect(code).toBe(0)
    expect(stdout).toMatch(/publish, sign, retire[\s\S]+1\. next[\s\S]+2\. promote[\s\S]+3\. retire/)
    expect(stdout).toContain('wrangler secret put SIGNING_KEYS')
  })

  test('generate makes a file and a folder that only their owner reads, and never overwrites', async () => {
    const made = await keys('generate')
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toContain(`npx wrangler secret put SIGNING_KEYS < ${file}`)
    expect((await read()).keys.map(({ alg }) => alg)).toEqual(['ES256', 'RS256'])
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, 'secrets'))).mode & 0o777).toBe(0o700)
    const content = await readFile(file, 'utf8')
    expect(await keys('generate')).toMatchObject({ code: 1, stdout: '' })
    expect(await readFile(file, 'utf8')).toBe(content)
    expect(await readdir(join(folder, 'secrets'))).toEqual(['keys.json'])
  })

  test.each(ALGORITHMS)(
    '%s: tokens verify at every step, and the old key fails only after retire',
    async (alg) => {
      await keys('generate', '--alg', alg)
      const old = await sign()
      await keys('next')
      expect(await verify(await sign())).toBe('valid')

      const early = await keys('promote')
      expect(early).toMatchObject({ code: 1, stdout: '' })
      expect(early.stderr).toMatch(/safe from \d{4}-\d\d-\d\dT[\d:]+Z/)
      await age(660)
      const promoted = await keys('promote')
      expect(promoted).toMatchObject({ code: 0, stderr: '' })
      expect(promoted.stdout).toContain('wrangler secret put')
      expect((await read()).keys.map((key) => [key.alg, isPrivate(key)])).toEqual([
        [alg, true],
        [alg, false],
      ])
      expect(await verify(old)).toBe('valid')
      expect(await verify(await sign())).toBe('valid')

      expect(await keys('retire')).toMatchObject({ code: 1, stdout: '' })
      expect(await verify(old)).toBe('valid')
      await age(420)
      expect(await keys('--token-max-seconds', '900', 'retire')).toMatchObject({ code: 1 })
      expect(await keys('retire')).toMatchObject({ code: 0, stderr: '' })
      expect(await verify(old)).toBe('ERR_JWKS_NO_MATCHING_KEY')
      expect(await verify(await sign())).toBe('valid')
      expect((await stat(file)).mode & 0o777).toBe(0o600)
    },
  )

  test('what "generate" makes is rotated key by key, each within its algorithm', async () => {
    await keys('generate')
    for (const alg of ['ES256', 'RS256']) {
      expect(await keys('next', '--alg', alg)).toMatchObject({ code: 0 })
      expect((await stat(file)).size).toBeLessThanOrEqual(SECRET_MAX_BYTES)
      expect(await keys('promote', '--force')).toMatchObject({ code: 0 })
    }
    expect((await read()).keys.map((key) => [key.alg, isPrivate(key)])).toEqual([
      ['ES256', true],
      ['RS256', true],
      ['RS256', false],
      ['ES256', false],
    ])
    expect(await verify(await sign())).toBe('valid')
    expect(await keys('retire', '--force')).toMatchObject({ code: 0 })
    expect((await read()).keys).toHaveLength(2)
  })

  test('three rotations with RS256 fit into a secret even when nothing is retired', async () => {
    await keys('generate', '--alg', 'RS256')
    for (let rotation = 0; rotation < 3; rotation++) {
      expect(await keys('next')).toMatchObject({ code: 0 })
      expect((await stat(file)).size).toBeLessThanOrEqual(SECRET_MAX_BYTES)
      expect(await keys('promote', '--force')).toMatchObject({ code: 0 })
    }
    expect(states(await read())).toEqual(['active', 'retired', 'retired', 'retired'])
    expect(sizeBytes(await read())).toBe((await stat(file)).size)
  })

  test('show lists the states, what to do and the size', async () => {
    await keys('generate')
    await keys('next', '--alg', 'EdDSA')
    const { code, stdout } = await keys('show')
    expect(code).toBe(0)
    expect(stdout).toMatch(/ES256 +active .+signs until the next key is promoted\n/)
    expect(stdout).toMatch(
      /RS256 +active .+signs ID tokens .+\n.+EdDSA +next .+promote, safe from .+\(in 11 min\)/,
    )
    expect(stdout).toMatch(/\d+ bytes of the 5,120 bytes/)
  })

  const mutilate = (change: (set: KeySet) => unknown) => (content: string) =>
    JSON.stringify(change(JSON.parse(content)))
  test.each<[string, (content: string) => string, RegExp]>([
    ['cut off', (content) => content.slice(0, -40), /not JSON/],
    ['empty', () => '', /not JSON/],
    ['no set at all', () => '[]', /top level/],
    ['without keys', () => '{"keys":[]}', /keys/],
    [
      'with a signing key that lost its private half',
      mutilate(({ keys: [a] }) => ({ keys: [publicHalf(a as never)] })),
      /private half/,
    ],
    [
      'with a kid that is not the thumbprint',
      mutilate(({ keys: [a] }) => ({ keys: [{ ...a, kid: 'mine' }] })),
      /thumbprint/,
    ],
    ['with the same key twice', mutilate(({ keys: [a] }) => ({ keys: [a, a] })), /same kid/],
    [
      'with an algorithm that is not the key’s',
      mutilate(({ keys: [a] }) => ({ keys: [{ ...a, alg: 'RS256' }] })),
      /keys\.0/,
    ],
    [
      'with a private half that is garbage',
      mutilate(({ keys: [a] }) => ({ keys: [{ ...a, d: 'AAAA' }] })),
      /do not make up a key/,
    ],
  ])('a file that is %s is refused with the reason', async (_, damage, message) => {
    await writeSet(file, accepted(firstSet([await makeKey('ES256', T0)], T0)).set, true)
    await writeFile(file, damage(await readFile(file, 'utf8')))
    await expect(readSet(file)).rejects.toThrow(message)
  })

  test('no command writes over a corrupt file', async () => {
    await keys('generate')
    const content = (await readFile(file, 'utf8')).slice(0, -40)
    await writeFile(file, content)
    for (const args of [['show'], ['next'], ['promote', '--force'], ['retire', '--force'], ['generate']]) {
      const refused = await keys(...args)
      expect(refused).toMatchObject({ code: 1, stdout: '' })
      expect(refused.stderr).not.toMatch(/^\s+at /m)
    }
    expect(await readFile(file, 'utf8')).toBe(content)
  })

  test('a set behind a symbolic link is replaced where it is', async () => {
    await keys('generate')
    const target = join(folder, 'elsewhere.json')
    await rename(file, target)
    await symlink(target, file)
    expect(await keys('next')).toMatchObject({ code: 0 })
    expect((await lstat(file)).isSymbolicLink()).toBe(true)
    expect(states(JSON.parse(await readFile(target, 'utf8')))).toEqual(['active', 'active', 'next'])
  })

  test('without a file the tool says how to make one', async () => {
    const { code, stderr } = await keys('next')
    expect(code).toBe(1)
    expect(stderr).toContain(`npm run keys -- --file ${file} generate`)
  })

  test.each([
    [['generate', '--alg', 'HS256'], /Allowed choices are ES256, RS256, EdDSA/],
    [['--token-max-seconds', '5m', 'show'], /whole number of seconds/],
    [['rotate'], /unknown command/],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await keys(...args)
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
  })
})
