/** `remint/guard` over real service bindings in workerd: what a binding is, and how its calls fail, is the runtime's affair. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePorts } from '../../dev/network.ts'
import { eventually } from '../support/eventually.ts'

/** A service with one route: `/{binding}` checks a fresh token of its own over that binding. */
const SERVICE = `
  import { createGuard } from './src/guard/index.ts'
  import { mintTestToken, testGuardOptions } from './src/testing/index.ts'
  export default {
    async fetch(request, env) {
      const gateway = env[new URL(request.url).pathname.slice(1)]
      const options = { ...testGuardOptions(), freshness: 'live', gateway, timeoutMs: 200 }
      let live
      const guard = createGuard({ ...options, onDecision: (decision) => { live = decision.live } })
      const authorization = 'Bearer ' + (await mintTestToken({ features: ['reports'] }))
      const checked = await guard.check(new Request(request.url, { headers: { authorization } }), 'reports')
      return Response.json([checked.ok ? checked.identity.freshness : checked.reason, live])
    },
  }`

const VERIFIERS = `
  import { WorkerEntrypoint } from 'cloudflare:workers'
  const answer = (reason) => ({ active: reason !== 'session_revoked', allowed: reason === 'allowed', reason })
  export class Allows extends WorkerEntrypoint {
    verify(token, { all, freshness }) {
      return answer(token.split('.').length === 3 && all[0] === 'reports' && freshness === 'live' ? 'allowed' : 'x')
    }
  }
  export class Revoked extends WorkerEntrypoint { verify() { return answer('session_revoked') } }
  export class Fails extends WorkerEntrypoint { verify() { throw new Error('misconfigured') } }
  export class Hangs extends WorkerEntrypoint { verify() { return scheduler.wait(5000) } }
  export class Refuses extends WorkerEntrypoint { verify() { throw new TypeError('verify(token, …)') } }
  export class Mute extends WorkerEntrypoint { verify() {} }
  export class Another extends WorkerEntrypoint { evaluate() {} }
  export default { fetch: () => new Response('x') }`

const NAMES = ['Allows', 'Revoked', 'Fails', 'Hangs', 'Refuses', 'Mute', 'Another']

let folder: string
let workerd: ChildProcess
let url: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'remint-binding-'))
  const { outputFiles } = await build({
    stdin: { contents: SERVICE, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    format: 'esm',
    write: false,
  })
  writeFileSync(join(folder, 'service.mjs'), outputFiles[0]?.text ?? '')
  writeFileSync(join(folder, 'verifiers.mjs'), VERIFIERS)
  const [port] = await freePorts(1)
  const worker = (file: string, bindings: string) => `(worker = (compatibilityDate = "2026-01-01",
    modules = [(name = "main", esModule = embed "${file}")], bindings = [${bindings}]), `
  const bound = NAMES.map(
    (name) => `(name = "${name}", service = (name = "verifiers", entrypoint = "${name}"))`,
  )
  const service = worker('service.mjs', [...bound, '(name = "Plain", service = "verifiers")'].join())
  writeFileSync(
    join(folder, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
     const config :Workerd.Config = (
       services = [${service} name = "service"), ${worker('verifiers.mjs', '')} name = "verifiers")],
       sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "service")],
     );`,
  )
  const require = createRequire(createRequire(import.meta.url).resolve('miniflare'))
  const { default: binary } = require('workerd') as { default: string }
  workerd = spawn(binary, ['serve', join(folder, 'config.capnp'), 'config'], { stdio: 'inherit' })
  url = `http://127.0.0.1:${port}`
  await eventually(async () => (await fetch(`${url}/Allows`).catch(() => undefined))?.ok, 'workerd')
})
afterAll(() => {
  workerd.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

test.each([
  ['Allows', 'live', 'allowed'],
  ['Revoked', 'token_inactive', 'session_revoked'],
  ['Fails', 'grace', 'network'],
  ['Hangs', 'grace', 'timeout'],
  ['Refuses', 'live_unavailable', 'threw_TypeError'],
  ['Mute', 'live_unavailable', 'not_an_answer'],
  ['Another', 'live_unavailable', 'threw_TypeError'],
  ['Plain', 'live_unavailable', 'threw_TypeError'],
])('a binding to %s: %s', async (name, outcome, live) => {
  const response = await fetch(`${url}/${name}`)
  expect([name, ...((await response.json()) as string[])]).toEqual([name, outcome, live])
})
