/** What the documents for readers refer to exists: relative links, npm scripts, and paths of this repository. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

const documents = [...globSync('*.md'), ...globSync('docs/**/*.md')]

/** Everything a document refers to that is not there. */
function dangling(document: string, text: string): string[] {
  const links = [...text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map(([, path = '']) =>
    join(dirname(document), path),
  )
  const paths = [...text.matchAll(/`((?:src|test|dev|bench|docs|migrations|\.ci|\.github)\/[\w./-]*)`/g)].map(
    ([, path = '']) => path,
  )
  const scripts = [...text.matchAll(/npm run ([\w:-]+)/g)]
    .map(([, name = '']) => name)
    .filter((name) => !Object.hasOwn(manifest.scripts, name))
  return [
    ...[...links, ...paths].filter((path) => !existsSync(path)),
    ...scripts.map((name) => `npm run ${name}`),
  ]
}

test.each(documents)('%s refers to what is there', (document) => {
  expect(dangling(document, readFileSync(document, 'utf8'))).toEqual([])
})

test('a reference to nothing is found', () => {
  const text =
    'See [this](missing.md#a), [that](https://example.com), `src/missing.ts`, `src/core/` and `npm run missing -- a`.'
  expect(dangling('README.md', text)).toEqual(['missing.md', 'src/missing.ts', 'npm run missing'])
})
