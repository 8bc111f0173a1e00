/**
 * Prints output that is meant for a file. `npm run flags -- export > flags.yaml` first sends npm's own two lines about the
 * script into the file; if they are all that is in it, the file is truncated.
 */

import { fstatSync, ftruncateSync, writeSync } from 'node:fs'
import { io } from '../io.ts'

const STDOUT = 1

/** What npm printed before it ran this script, to the byte; `undefined` if npm did not run it, or was silent. */
export function npmBanner(env: NodeJS.ProcessEnv, args: readonly string[]): string | undefined {
  const { npm_package_name, npm_package_version, npm_lifecycle_event, npm_lifecycle_script } = env
  if (!npm_lifecycle_event || !npm_lifecycle_script || env.npm_config_loglevel === 'silent') return undefined
  const command = [npm_lifecycle_script.trim().replaceAll('\n', '\n> '), ...args].join(' ')
  return `\n> ${npm_package_name}@${npm_package_version} ${npm_lifecycle_event}\n> ${command}\n\n`
}

export function printDocument(text: string, env = process.env, args = process.argv.slice(2)): void {
  const banner = npmBanner(env, args)
  const { size, ...stdout } = statOf(STDOUT)
  if (banner === undefined || !stdout.isFile || size !== Buffer.byteLength(banner)) {
    io().out(text)
    return
  }
  ftruncateSync(STDOUT)
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at, bytes.length - at, at)
}

function statOf(descriptor: number): { size: number; isFile: boolean } {
  const stat = fstatSync(descriptor)
  return { size: stat.size, isFile: stat.isFile() }
}
