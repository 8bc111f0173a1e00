/**
 * Bundles as `wrangler deploy` uploads them, each beside a configuration for `createTestHarness`. As a global set-up it makes
 * those of both Workers once for all files of a project, which take them with `inject('bundles')`.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { PROJECT, readConfig, wranglerSettings } from '../../dev/wrangler.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The folders of the Workers' bundles. */
    bundles: { readonly gateway: string; readonly control: string }
  }
}

export interface Bundle {
  readonly folder: string
  close(): Promise<void>
}

/** The configuration in a bundle's folder: where it lies, wrangler finds no `.dev.vars` of the developer's. */
export const CONFIG = 'wrangler.json'

/** @param config - the wrangler configuration of the Worker */
export async function bundle(config: string): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'remint-bundle-'))
  const wrangler = join(PROJECT, 'node_modules', '.bin', 'wrangler')
  const options = ['--dry-run', '--config', config, '--outdir', folder]
  await promisify(execFile)(process.execPath, [wrangler, 'deploy', ...options], {
    cwd: PROJECT,
    env: { ...process.env, ...wranglerSettings(folder) },
  })
  const { main = '', d1_databases: databases = [], ...raw } = await readConfig(config)
  const migrations_dir = join(PROJECT, 'migrations')
  const absolute = {
    ...raw,
    main: resolve(PROJECT, main),
    d1_databases: databases.map((database: object) => ({ ...database, migrations_dir })),
  }
  await writeFile(join(folder, CONFIG), JSON.stringify(absolute))
  return { folder, close: () => rm(folder, { recursive: true, force: true }) }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [gateway, control] = await Promise.all([bundle('wrangler.toml'), bundle('wrangler.control.toml')])
  project.provide('bundles', { gateway: gateway.folder, control: control.folder })
  return async () => {
    await gateway.close()
    await control.close()
  }
}
