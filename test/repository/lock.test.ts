/**
 * What `npm ci` brings is what the lock file says: every package with its integrity, the Node.js that runs the scripts
 * included, and no script of a package that was not allowed.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

interface Locked {
  readonly version?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly inBundle?: boolean
  readonly dev?: boolean
  readonly optional?: boolean
  readonly hasInstallScript?: boolean
  readonly os?: string | readonly string[]
  readonly cpu?: string | readonly string[]
}

const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'))
const MODULES = 'node_modules/'
const { dependencies, allowScripts } = read('package.json')
const platforms: Record<string, string> = read('dev/node/package.json').optionalDependencies
const LOCKS = ['package-lock.json', 'test/clients/package-lock.json'].filter((path) => existsSync(path))

describe.each(LOCKS)('%s', (path) => {
  const locked: [string, Locked][] = Object.entries(read(path).packages)
  const installed = locked.filter(([where, { link }]) => where.includes(MODULES) && !link)

  test('has the integrity of everything that is installed', () => {
    expect(installed.length).toBeGreaterThan(0)
    const without = installed.filter(
      ([, { integrity, inBundle }]) => !inBundle && !integrity?.startsWith('sha512-'),
    )
    expect(without.map(([where]) => where)).toEqual([])
  })

  test('has no install script that nobody has decided about', () => {
    const allowed: Record<string, boolean> = {
      ...allowScripts,
      ...read(join(path, '..', 'package.json')).allowScripts,
    }
    const scripted = installed.filter(([, { hasInstallScript }]) => hasInstallScript)
    const names = scripted.map(([where]) => where.slice(where.lastIndexOf(MODULES) + MODULES.length))
    expect(names.filter((name) => !(name in allowed))).toEqual([])
  })
})

describe('the Node.js that runs the scripts', () => {
  const packages: Record<string, Locked> = read('package-lock.json').packages

  test.each(Object.entries(platforms))('is locked to the byte: %s', (name, version) => {
    const [, os, cpu] = name.split('-')
    expect(packages[`${MODULES}${name}`]).toMatchObject({
      ...{ version, os: os === 'win' ? 'win32' : os, cpu, optional: true, dev: true },
      integrity: expect.stringMatching(/^sha512-/),
    })
    expect(packages[`${MODULES}${name}`]?.hasInstallScript).toBeUndefined()
    expect(version, 'exact').toMatch(/^24\.\d+\.\d+$/)
  })

  test('is for nobody who installs the package', () => {
    const names = [
      ...Object.keys(dependencies),
      ...Object.keys(read('package.json').optionalDependencies ?? {}),
    ]
    expect(names.filter((name) => /node/.test(name))).toEqual([])
  })

  const own = `node-${process.platform}-${process.arch}`
  test.runIf(own in platforms)('is the one on the PATH of every npm script', () => {
    const onPath = execFileSync('npm', ['exec', '--', 'node', '-p', 'process.execPath'], {
      encoding: 'utf8',
    }).trim()
    expect(realpathSync(onPath)).toBe(realpathSync(join(MODULES, own, 'bin/node')))
    expect(execFileSync(onPath, ['-v'], { encoding: 'utf8' }).trim()).toBe(`v${platforms[own]}`)
  })
})
