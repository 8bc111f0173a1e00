/**
 * Bindings of a local Worker, on the files that `wrangler dev --persist-to` serves from: a running Worker's next read finds
 * what is written here. Opening starts a workerd: about a second.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { STOP_SIGNALS } from './cli.ts'
import { PROJECT, wranglerSettings } from './wrangler.ts'

type Kind = 'kv_namespaces' | 'd1_databases'

export interface LocalBindings<Env> {
  readonly env: Env
  dispose(): Promise<void>
}

/**
 * @param persistTo - the folder given to `wrangler dev --persist-to`
 * @param config - the project's configuration of the Worker, of which only bindings of this kind are opened: the rest of
 *   it needs the Worker to run
 */
export async function openBindings<Env extends object>(
  persistTo: string,
  config: string,
  kind: Kind,
): Promise<LocalBindings<Env>> {
  Object.assign(process.env, wranglerSettings(persistTo))
  const { experimental_readRawConfig, getPlatformProxy } = await import('wrangler')
  const { rawConfig } = experimental_readRawConfig({ config: join(PROJECT, config) })
  const { name, compatibility_date } = rawConfig
  const configPath = join(persistTo, `wrangler.${kind}.json`)
  await mkdir(persistTo, { recursive: true })
  await writeFile(configPath, JSON.stringify({ name, compatibility_date, [kind]: rawConfig[kind] }, null, 2))
  return leavingSignalsAlone(() =>
    getPlatformProxy<Env>({
      configPath,
      persist: { path: join(persistTo, 'v3') },
      envFiles: [],
      remoteBindings: false,
    }),
  )
}

/**
 * Removes the signal handlers that miniflare installs: they end the process at once, and other child processes would be
 * left behind. Its workerd still ends with the process.
 */
async function leavingSignalsAlone<T>(start: () => Promise<T>): Promise<T> {
  const known = new Set<unknown>(STOP_SIGNALS.flatMap((signal) => process.listeners(signal)))
  const started = await start()
  for (const signal of STOP_SIGNALS) {
    for (const listener of process.listeners(signal)) {
      if (!known.has(listener)) process.removeListener(signal, listener)
    }
  }
  return started
}
