/**
 * The gateway's bundle as `wrangler deploy` uploads it. As a global set-up it makes one for all files of a project, which
 * take it with `inject('bundle')`.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { PROJECT, wranglerSettings } from '../../dev/wrangler.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder of the gateway's bundle. */
    bundle: string
  }
}

export interface Bundle {
  readonly folder: string
  close(): Promise<void>
}

/** @param config - the wrangler configuration of the Worker */
export async function bundle(config: string): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), 'remint-bundle-'))
  const wrangler = join(PROJECT, 'node_modules', '.bin', 'wrangler')
  const options = ['--dry-run', '--config', config, '--outdir', folder]
  await promisify(execFile)(process.execPath, [wrangler, 'deploy', ...options], {
    cwd: PROJECT,
    env: { ...process.env, ...wranglerSettings(folder) },
  })
  return { folder, close: () => rm(folder, { recursive: true, force: true }) }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { folder, close } = await bundle('wrangler.toml')
  project.provide('bundle', folder)
  return close
}
