/**
 * Installing the package for a guard brings jose and nothing else: what is published runs, and its types compile, in a
 * folder where there is neither Hono nor zod nor a framework.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

const ROOT = process.cwd()
const TSC = join(ROOT, 'node_modules', '.bin', 'tsc')

let folder: string
beforeAll(() => {
  // Outside of the repository, where nothing is found by looking further up.
  folder = mkdtempSync(join(tmpdir(), 'remint-package-'))
  const installed = join(folder, 'node_modules', 'remint')
  mkdirSync(installed, { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(installed, 'package.json'))
  execFileSync(TSC, ['-p', 'tsconfig.build.json', '--outDir', join(installed, 'dist')], { stdio: 'pipe' })
  for (const name of Object.keys(manifest.dependencies))
    cpSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
})
afterAll(() => rmSync(folder, { recursive: true }))

const run = (file: string, ...args: string[]): string => {
  try {
    return execFileSync(file, args, { cwd: folder, stdio: 'pipe', encoding: 'utf8' })
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    return `${stdout ?? ''}${stderr ?? String(error)}`
  }
}

test('jose is the one dependency; peers are optional, for the parts that need them', () => {
  expect(Object.keys(manifest.dependencies)).toEqual(['jose'])
  const optional = Object.entries(manifest.peerDependenciesMeta).filter(([, meta]) => meta.optional)
  expect(optional.map(([name]) => name)).toEqual(Object.keys(manifest.peerDependencies))
})

test('the guard, its adapter for Node and the test tokens run', () => {
  writeFileSync(
    join(folder, 'run.js'),
    `import { createGuard } from 'remint/guard'
     import { createNodeGuard } from 'remint/guard/node'
     import { mintTestToken, testGuardOptions } from 'remint/testing'
     const authorization = 'Bearer ' + (await mintTestToken({ features: ['sso'] }))
     const request = new Request('https://api.test', { headers: { authorization } })
     const checked = await createGuard(testGuardOptions()).check(request, 'sso')
     const rawHeaders = ['authorization', authorization]
     const admitted = await createNodeGuard(testGuardOptions()).admit({ rawHeaders }, {}, 'sso')
     console.log(checked.ok, admitted.features.join())`,
  )
  expect(run(process.execPath, 'run.js')).toBe('true sso\n')
})

test('their types compile, strictly, with every declaration checked', () => {
  writeFileSync(
    join(folder, 'use.ts'),
    `import { createGuard, type Checked, type GuardDecision } from 'remint/guard'
     import { createNodeGuard, identityOf, type NodeGuard } from 'remint/guard/node'
     import { mintTestToken, testGuardOptions } from 'remint/testing'
     const onDecision = ({ reason, claim }: GuardDecision) => [reason, claim]
     export const checked: Promise<Checked> = createGuard({ ...testGuardOptions(), onDecision }).check(
       new Request('https://api.test'), { any: ['sso'] }, { freshness: 'live' })
     export const guard: NodeGuard = createNodeGuard(testGuardOptions())
     export const token: Promise<string> = mintTestToken({ features: ['sso'] })
     export const org: string | undefined = identityOf({ rawHeaders: [] }).orgId
     // @ts-expect-error -- an option that there is not
     createGuard({ ...testGuardOptions(), fresh: 'live' })`,
  )
  const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false']
  const target = ['--target', 'es2022', '--lib', 'es2022,dom', '--module', 'nodenext', '--types', '']
  expect(run(process.execPath, TSC, ...options, ...target, 'use.ts')).toBe('')
})
