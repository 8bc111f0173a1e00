/**
 * The gateway as a developer runs it: `wrangler dev`, as `npm start` and `npm run gateway` start it, on a folder of state
 * with the demo's documents in it.
 *
 * Everything that is started is handed to a `Running`, which `afterAll` closes, so that nothing survives a failed test.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Running } from '../../../dev/cli.ts'
import { startGateway } from '../../../dev/gateway.ts'
import { seed } from '../../../dev/seed.ts'
import type { Vars } from '../../../dev/wrangler.ts'
import { freePort, readLog, type TestGateway } from './stage.ts'

export interface DevGateway extends TestGateway {
  /** The folder with its documents. */
  readonly state: string
}

export async function openDevGateway(running: Running, vars: Vars, port?: number): Promise<DevGateway> {
  const state = await mkdtemp(join(tmpdir(), 'remint-e2e-'))
  running.add({ close: () => rm(state, { recursive: true, force: true }) })
  await seed('production', state)
  const { log, read, logged } = readLog()
  const gateway = await startGateway({
    port: port ?? (await freePort()),
    vars,
    persistTo: state,
    onLine: read,
  })
  running.add(gateway)
  return { url: gateway.url, state, log, logged }
}
