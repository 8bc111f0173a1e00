/**
 * `npm run clients`: the client libraries that people use, as npm has them, against the gateway in `wrangler dev`.
 *
 * They have a lock file of their own, which is installed here when it has changed, so that the repository's own `npm ci` stays
 * small. Arguments go to Vitest: `npm run clients -- next_auth` runs one file.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PROJECT } from '../../dev/wrangler.ts'

const HERE = import.meta.dirname
const LOCK = join(HERE, 'package-lock.json')
/** What was installed last. npm's own record leaves members of the lock file out. */
const INSTALLED = join(HERE, 'node_modules', '.installed-lock.json')

const textOf = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '')

async function run(cwd: string, command: string, ...args: string[]): Promise<number> {
  const [code] = await once(spawn(command, args, { cwd, stdio: 'inherit' }), 'exit')
  return (code as number | null) ?? 1
}

async function install(): Promise<number> {
  if ((await textOf(LOCK)) === (await textOf(INSTALLED))) return 0
  console.log('Installing the clients of test/clients …')
  const code = await run(HERE, 'npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts')
  if (code === 0) await copyFile(LOCK, INSTALLED)
  return code
}

const tool = (name: string): string => join(PROJECT, 'node_modules', '.bin', name)

process.exitCode =
  (await install()) ||
  (await run(PROJECT, tool('tsc'), '-p', join(HERE, 'tsconfig.json'))) ||
  (await run(
    PROJECT,
    tool('vitest'),
    'run',
    '--config',
    join(HERE, 'vitest.config.ts'),
    ...process.argv.slice(2),
  ))
