/** The sources and documents are written in plain words, and the check that says so can fail. */
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { oddWords } from './words.ts'

const WRITTEN = [
  '*.md',
  'docs/**/*.md',
  'wrangler*.toml',
  '{src,dev,test,bench}/**/*.{ts,tsx,html,css,js,md}',
]

/** The list itself. */
const EXEMPT = ['test/repository/words']

const files = WRITTEN.flatMap((pattern) => globSync(pattern, { exclude: ['**/node_modules'] }))
  .filter((file) => !EXEMPT.some((prefix) => file.startsWith(prefix)))
  .sort()

test('the files that are checked include the documents, the sources and the tests', () => {
  expect(files).toEqual(
    expect.arrayContaining(['README.md', 'docs/glossary.md', 'src/core/result.ts', 'dev/start.ts']),
  )
})

test('no file uses a word of the list', () => {
  const texts = Object.fromEntries(files.map((file) => [file, readFileSync(file, 'utf8')]))
  expect(oddWords(texts).map(({ file, line, words }) => `${file}:${line}: ${words}`)).toEqual([])
})

test.each([
  ['// Everything is computed anew.', 'anew'],
  ['Whoever asks', 'Whoever'],
  ['if (heedsContracts(flag)) return', 'heedsContracts'],
  ['a queue that is told of every token', 'is told'],
  ['/**\n * The client is\n * told to wait.\n */', 'is told'],
  ['// a key of\n// ours', 'of ours'],
  ['# the keys in\n# hand', 'in hand'],
  ['a policy that wants it approved', 'wants it approved'],
  ["after upstream's yes", "upstream's yes"],
])('found: %s', (text, words) => {
  expect(oddWords({ 'a.ts': text })).toMatchObject([{ file: 'a.ts', words }])
})

test.each([
  'Reject the request, or approve it.',
  'a renewal',
  'The latest document is used.',
  'It says nothing.',
  'one hand',
  'const told = 1',
])('passed: %s', (text) => expect(oddWords({ 'a.ts': text })).toEqual([]))
