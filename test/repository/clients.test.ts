/** The table of docs/clients.md is about the packages that `npm run clients` runs, in their versions. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import root from '../../package.json' with { type: 'json' }
import manifest from '../clients/package.json' with { type: 'json' }

/** What the apps of the tests need besides. */
const NO_CLIENTS = ['express']

const document = readFileSync('docs/clients.md', 'utf8')
const clients = Object.entries(manifest.dependencies).filter(([name]) => !NO_CLIENTS.includes(name))

test.each(clients)('%s is in the table with its version, and has a test', (name, version) => {
  expect(version).toMatch(/^\d+\.\d+\.\d+$/)
  const row = document.split('\n').find((line) => line.startsWith('|') && line.includes(`\`${name}\``))
  expect(row).toContain(`| ${version} | test`)
  const file = name
    .replace(/^@/, '')
    .replaceAll(/\W/g, '_')
    .replace(/^(auth0|workos_inc)_/, '')
  expect(
    existsSync(`test/clients/${file}.test.ts`) || existsSync(`test/clients/workos_${file}.test.ts`),
  ).toBe(true)
})

test('the repository itself does not install what only they need', () => {
  const own = { ...root.dependencies, ...root.devDependencies }
  const shared = ['@workos-inc/node', 'express', 'oidc-client-ts', 'openid-client']
  for (const name of Object.keys(manifest.dependencies))
    if (!shared.includes(name)) expect(own).not.toHaveProperty(name)
  expect(Object.keys(own).filter((name) => /^(next|react)(-|$)/.test(name))).toEqual([])
})
