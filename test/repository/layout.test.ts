/** The real sources keep the layout, and every rule of it can fail. */
import { globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { check } from './layout.ts'

const packages = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
const checkOne = (file: string, source: string) =>
  check({ [file]: source }, ['jose', 'hono', 'zod', '@scope/a'])

test('the sources keep the layout', () => {
  const files = globSync('src/**/*.ts').sort()
  expect(files).toContain('src/core/result.ts')
  const sources = Object.fromEntries(files.map((file) => [file, readFileSync(file, 'utf8')]))
  const violations = check(sources, packages).map(({ file, rule, what }) => `${file}: ${rule}: ${what}`)
  expect(violations).toEqual([])
})

describe('an import is refused', () => {
  test.each([
    [
      'src/core/claims.ts',
      `import { a } from '../gateway/log.ts'`,
      'core imports gateway: src/gateway/log.ts',
    ],
    ['src/core/claims.ts', `import type { A } from '../guard/a.ts'`, 'core imports guard: src/guard/a.ts'],
    ['src/core/claims.ts', `import { Hono } from 'hono'`, 'imports the package hono'],
    [
      'src/core/claims.ts',
      `import { env } from 'cloudflare:workers'`,
      'imports the package cloudflare:workers',
    ],
    [
      'src/gateway/log.ts',
      `import { a } from '../control/a.ts'`,
      'gateway imports control: src/control/a.ts',
    ],
    [
      'src/gateway/profiles/a.ts',
      `export * from '../../control/db/schema.ts'`,
      'gateway imports control: src/control/db/schema.ts',
    ],
    [
      'src/control/app.ts',
      `import { a } from '../gateway/profiles/a.ts'`,
      'control imports gateway: src/gateway/profiles/a.ts',
    ],
    [
      'src/control/app.ts',
      `type A = import('../gateway/log.ts').A`,
      'control imports gateway: src/gateway/log.ts',
    ],
    ['src/guard/index.ts', `await import('../gateway/log.ts')`, 'guard imports gateway: src/gateway/log.ts'],
    ['src/client/index.ts', `export { a } from '../guard/a.ts'`, 'client imports guard: src/guard/a.ts'],
    ['src/gateway/log.ts', `import { a } from '../index.ts'`, 'gateway imports entry: src/index.ts'],
    ['src/index.ts', `export { a } from './control/app.ts'`, 'entry imports control: src/control/app.ts'],
    [
      'src/gateway/log.ts',
      `import { a } from '../../dev/idp.ts'`,
      'imports dev/idp.ts, which is not part of src',
    ],
    ['src/gateway/log.ts', `import { readFile } from 'node:fs'`, 'imports the package node:fs'],
    ['src/gateway/log.ts', `import express from 'express'`, 'imports the package express'],
    ['src/gateway/log.ts', `import a from '@scope/b/c'`, 'imports the package @scope/b/c'],
    ['src/gateway/log.ts', `const a = await import(name)`, 'imports a path that is computed'],
    [
      'src/gateway/pipeline/mint.ts',
      `import { a } from '../profiles/oidc.ts'`,
      'pipeline imports the feature profiles: src/gateway/profiles/oidc.ts',
    ],
    [
      'src/gateway/pipeline/mint.ts',
      `import { type A, b } from '../profiles/oidc.ts'`,
      'pipeline imports the feature profiles: src/gateway/profiles/oidc.ts',
    ],
    [
      'src/gateway/profiles/oidc.ts',
      `import type { A } from '../pipeline/mint.ts'`,
      'profiles imports the feature pipeline: src/gateway/pipeline/mint.ts',
    ],
    [
      'src/gateway/log.ts',
      `import type { A } from './profiles/oidc.ts'`,
      'a shared module imports the feature profiles: src/gateway/profiles/oidc.ts',
    ],
    [
      'src/gateway/profiles/oidc.ts',
      `import { app } from '../app.ts'`,
      'imports src/gateway/app.ts, where features meet',
    ],
    [
      'src/gateway/http/headers.ts',
      `import type { A } from '../documents/store.ts'`,
      'http imports the feature documents: src/gateway/documents/store.ts',
    ],
    [
      'src/gateway/pipeline/refresh.ts',
      `import { a } from '../handlers/upstream_routes.ts'`,
      'imports src/gateway/handlers/upstream_routes.ts, where features meet',
    ],
    [
      'src/control/flags/a.ts',
      `import { a } from '../grants/a.ts'`,
      'flags imports the feature grants: src/control/grants/a.ts',
    ],
    [
      'src/control/ledger/a.ts',
      `import { a } from '../http/a.ts'`,
      'ledger imports the feature http: src/control/http/a.ts',
    ],
    [
      'src/control/entities/a.ts',
      `import { a } from '../flags/a.ts'`,
      'entities imports the feature flags: src/control/flags/a.ts',
    ],
    [
      'src/control/change_requests/a.ts',
      `import { a } from '../http/a.ts'`,
      'change_requests imports the feature http: src/control/http/a.ts',
    ],
    [
      'src/control/change_requests/routes.ts',
      `import { a } from '../flags/a.ts'`,
      'change_requests imports the feature flags: src/control/flags/a.ts',
    ],
    [
      'src/control/flags/a.ts',
      `import { a } from '../change_requests/routes.ts'`,
      'flags imports the feature change_requests: src/control/change_requests/routes.ts',
    ],
  ])('%s: %s', (file, source, what) => {
    expect(checkOne(file, source)).toEqual([{ file, rule: 'import', what }])
  })
})

test.each([
  ['src/core/documents.ts', `import * as z from 'zod'\nimport { ok } from './result.ts'`],
  [
    'src/gateway/pipeline/mint.ts',
    `import { SignJWT } from 'jose'\nimport { ok } from '../../core/result.ts'`,
  ],
  [
    'src/gateway/pipeline/mint.ts',
    `import type { Profile } from '../profiles/oidc.ts'\nimport { a } from '../log.ts'`,
  ],
  [
    'src/gateway/pipeline/mint.ts',
    `import { type Profile } from '../profiles/oidc.ts'\nimport { b } from './b.ts'`,
  ],
  ['src/gateway/app.ts', `import { a } from './profiles/oidc.ts'\nimport a from '@scope/a/b'`],
  [
    'src/gateway/worker.ts',
    `import { WorkerEntrypoint } from 'cloudflare:workers'\nimport { a } from './app.ts'`,
  ],
  ['src/gateway/gateway.ts', `import { a } from './profiles/oidc.ts'`],
  ['src/gateway/pipeline/mint.ts', `import { a } from '../documents/entitle.ts'`],
  ['src/gateway/documents/store.ts', `import { a } from '../signing_keys/keyring.ts'`],
  ['src/gateway/log.ts', `import type { A } from './sessions/call.ts'`],
  ['src/gateway/handlers/upstream_routes.ts', `import { a } from '../pipeline/refresh.ts'`],
  ['src/control/flags/a.ts', `import { a } from '../ledger/a.ts'\nimport { b } from '../db/schema.ts'`],
  ['src/control/ledger/a.ts', `import { a } from '../entities/a.ts'`],
  ['src/control/change_requests/policy_routes.ts', `import { a } from '../http/a.ts'`],
  ['src/index.ts', `export { createGateway } from './gateway/app.ts'`],
])('%s may: %s', (file, source) => {
  expect(checkOne(file, source)).toEqual([])
})

describe('the outside world stays at the edges', () => {
  const touches = [
    ['clock', 'Date.now', 'const a = Date.now()'],
    ['clock', 'Date.now', 'f(Date.now)'],
    ['clock', 'new Date()', 'const a = new Date().toISOString()'],
    ['clock', 'performance.now', 'const a = performance.now()'],
    ['fetch', 'fetch', `await fetch('https://example.com')`],
    ['fetch', 'fetch', 'const a = { fetch }'],
    ['fetch', 'fetch', 'function f({ fetcher = fetch }) {}'],
    ['fetch', 'globalThis.fetch', 'const a = globalThis.fetch'],
    ['binding', 'KVNamespace', 'let a: KVNamespace'],
    ['binding', 'D1Database', 'function f(a: { db: D1Database }): void {}'],
    ['console', 'console', `console.log('a')`],
  ] as const
  test.each(touches)('%s: %s in %s', (rule, what, source) => {
    const file = 'src/gateway/pipeline/verify.ts'
    expect(checkOne(file, source)).toEqual([{ file, rule, what }])
    const edge = { clock: 'app', fetch: 'app', binding: 'config', console: 'log' }[rule]
    expect(checkOne(`src/gateway/${edge}.ts`, source)).toEqual([])
  })

  test.each([
    '// Date.now() and fetch() and console.log',
    `const a = 'Date.now()' + \`fetch(\${b})\``,
    'const a = new Date(now)',
    'const a = Date.parse(b)',
    'function f(fetcher: typeof fetch) {}',
    'export default { fetch(request: Request) {}, fetchAll: 1 }',
    'class A { fetch() {} }',
    'interface A { fetch(url: string): void; console: string }',
    'const a = service.fetch(request)',
    'const f = ({ fetch }: Options) => fetch(url)',
    'const f = ({ fetch: fetch = other }: Options) => { return () => fetch(url) }',
    'function f() { const fetch = options.fetch; return fetch(url) }',
    `import { fetch } from './adapter.ts'\nfetch()`,
  ])('not meant: %s', (source) => {
    expect(checkOne('src/gateway/pipeline/verify.ts', source)).toEqual([])
  })
})
