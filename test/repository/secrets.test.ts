/**
 * What must not be in any file of the repository, and how long a source file may be.
 *
 * Every check is a table row that is run on the real files, on one line that breaks it and on one that does not. The
 * breaking lines are put together at run time, so that this file passes its own checks.
 */
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const MAX_LINES = 400

const files = listFiles().flatMap((file) => {
  const text = readText(file)
  return text === undefined ? [] : [{ file, text }]
})

const secret = 'x'.repeat(43)
const dot = '.'

const checks = [
  {
    name: 'a private JWK',
    where: /./,
    pattern: /["']?\b(?:d|dp|dq|qi|k)["']?\s*:\s*["'`][A-Za-z0-9_-]{40,}["'`]/,
    breaks: [`{"kty":"EC","d${'"'}:"${secret}"}`, `{ kty: 'OKP', d${':'} '${secret}' }`],
    passes: [`{"x":"${secret}"}`, `{ d: 'short' }`, `{"id":"${secret}"}`],
  },
  {
    name: 'a private key in PEM',
    where: /./,
    pattern: /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/,
    breaks: [`-----BEGIN ${'PRIVATE'} KEY-----`, `-----BEGIN EC ${'PRIVATE'} KEY-----`],
    passes: ['-----BEGIN PUBLIC KEY-----', '-----BEGIN CERTIFICATE-----'],
  },
  {
    name: 'a test that is left out or runs alone',
    where: /^(src|test|dev|bench)\//,
    pattern: /\b(?:test|it|describe|suite|bench)(?:\.\w+)*\.(?:only|skip|todo)\b/,
    breaks: [`test${dot}only('a')`, `describe.concurrent${dot}skip('a')`, `it${dot}todo('a')`],
    passes: [`test.skipIf(noBrowser)('a')`, `test.each([1])('a')`],
  },
  {
    name: 'work that is left undone',
    where: /^(src|test|dev|bench)\//,
    pattern: /\b(?:TO[D]O|FIX[M]E|X{3})\b/,
    breaks: [`// ${'TO'}${'DO'}: later`, `/* ${'FIX'}${'ME'} */`],
    passes: ['// what is left to do', 'const todo = 1'],
  },
]

describe.each(checks)('$name', ({ where, pattern, breaks, passes }) => {
  test('is in no file', () => {
    const found = files.filter(({ file, text }) => where.test(file) && pattern.test(text))
    expect(found.map(({ file }) => file)).toEqual([])
  })
  test.each(breaks)('is found in: %s', (line) => expect(line).toMatch(pattern))
  test.each(passes)('is not seen in: %s', (line) => expect(line).not.toMatch(pattern))
})

test('the files that were looked at include the sources', () => {
  expect(files.map(({ file }) => file)).toEqual(
    expect.arrayContaining(['package.json', 'src/core/result.ts']),
  )
})

test(`no source file has more than ${MAX_LINES} lines`, () => {
  const long = files.filter(
    ({ file, text }) => file.startsWith('src/') && text.split('\n').length > MAX_LINES + 1,
  )
  expect(long.map(({ file }) => file)).toEqual([])
})

/** A file's text; a tracked file that was deleted and not yet committed has none, and binary files are passed over. */
function readText(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

/** Tracked files and those about to be; what git ignores is not published. An archive of the sources has no git. */
function listFiles(): string[] {
  try {
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      stdio: 'pipe',
    })
    return listed.toString().split('\0').filter(Boolean)
  } catch {
    return globSync('**/*.*', { exclude: ['node_modules', 'dist', '**/.wrangler', '.secrets', '.dev.vars*'] })
  }
}
