/**
 * The control plane and the gateway as they are deployed, with the queue between them, in one process of wrangler's test
 * harness; an identity provider for both; and a state folder, so that the command line tools find their key.
 *
 * State is in memory: what a restart must survive is tested with `wrangler dev`. The harness gives an address only to the first
 * Worker, so that each has a server in front of it here; and what a Worker fetches goes through Node's `fetch`, which follows
 * redirects whatever the Worker asked for. People therefore log in at the identity provider itself, and refresh at the gateway.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as oidc from 'openid-client'
import { createTestHarness } from 'wrangler'
import type { Running } from '../../../dev/cli.ts'
import { ControlClient } from '../../../dev/control_client.ts'
import { API_AUDIENCE, CONTROL_AUDIENCE, DEMO_SERVICE, type Idp, startIdp } from '../../../dev/idp.ts'
import type { Database } from '../../../dev/local_d1.ts'
import { localKey, makeBootstrapSecret, makeLocalKey } from '../../../dev/local_key.ts'
import { logIn } from '../../../dev/login.ts'
import { listen } from '../../../dev/network.ts'
import { seedControl } from '../../../dev/seed_control.ts'
import { generateSigningKeys } from '../../../dev/signing_keys.ts'
import { CONFIG } from '../../support/bundle.ts'

const REDIRECT_URI = 'http://localhost:8789/callback'

/** Requests that a Worker answers, as `createTestHarness` dispatches them. */
type Dispatch = ReturnType<ReturnType<typeof createTestHarness>['getWorker']>['fetch']

export type Stack = Awaited<ReturnType<typeof openStack>>

interface Bindings {
  readonly DB: Database
  readonly ENTITLEMENTS: {
    get(key: string): Promise<string | null>
    put(key: string, value: string): Promise<void>
  }
}

export interface StackOptions {
  readonly bundles: { readonly gateway: string; readonly control: string }
  /** Secrets of the control plane. */
  readonly secrets?: Record<string, string>
  /** `false`: the control plane is left empty, for a tool that seeds it. */
  readonly seeded?: boolean
}

export async function openStack(running: Running, { bundles, secrets = {}, seeded = true }: StackOptions) {
  const state = await mkdtemp(join(tmpdir(), 'remint-stack-'))
  running.add({ close: () => rm(state, { recursive: true, force: true }) })
  const bootstrapSecret = makeBootstrapSecret()
  const [idp, controlFront, gatewayFront] = await Promise.all([
    startIdp({ port: 0 }).then((started) => running.add(started)),
    openFront(running),
    openFront(running),
  ])
  const server = createTestHarness({
    workers: [
      {
        configPath: join(bundles.control, CONFIG),
        prebuiltWorkerDir: bundles.control,
        vars: { OIDC_ISSUER: idp.issuer },
        secrets: { BOOTSTRAP_SECRET: bootstrapSecret, ...secrets },
      },
      {
        configPath: join(bundles.gateway, CONFIG),
        prebuiltWorkerDir: bundles.gateway,
        vars: {
          ISSUER: gatewayFront.url,
          UPSTREAM_ORIGIN: idp.url,
          UPSTREAM_ISSUER: idp.issuer,
          UPSTREAM_AUDIENCE: API_AUDIENCE,
        },
        secrets: {
          SIGNING_KEYS: await generateSigningKeys(),
          SESSION_PEPPER: randomBytes(32).toString('hex'),
        },
      },
    ],
  })
  running.add(server)
  await server.listen()
  const worker = server.getWorker<Bindings & Record<string, unknown>>('remint-control')
  controlFront.dispatch = worker.fetch
  gatewayFront.dispatch = server.getWorker('remint-gateway').fetch
  await worker.applyD1Migrations('DB')
  const env = await worker.getEnv()
  await makeLocalKey(controlFront.url, bootstrapSecret, state)
  const control = new ControlClient(controlFront.url, (await localKey(state)) ?? '')
  if (seeded) await seedControl(control)
  return {
    ...{ idp, state, control, env },
    gateway: gatewayFront.url,
    /** A session of Grace's, of Globex: its tokens, and the client that refreshes them at the gateway. */
    openSession: () => openSession(idp, gatewayFront.url),
    /** The access token of somebody who has logged in at the identity provider: an operator's, unless `resource` says otherwise. */
    tokenOf: (account: string, resource?: string) => tokenOf(idp, account, resource),
  }
}

async function openSession({ issuer }: Idp, gateway: string) {
  const { tokens } = await logIn({ issuer, account: 'user_grace', redirectUri: REDIRECT_URI })
  const { id, secret } = DEMO_SERVICE
  const execute = [oidc.allowInsecureRequests]
  const config = await oidc.discovery(new URL(gateway), id, undefined, oidc.ClientSecretBasic(secret), {
    execute,
  })
  return { config, tokens }
}

async function tokenOf(idp: Idp, account: string, resource: string = CONTROL_AUDIENCE): Promise<string> {
  const api = resource === API_AUDIENCE ? {} : { resource, scope: 'openid control' }
  const { tokens } = await logIn({ issuer: idp.issuer, account, redirectUri: REDIRECT_URI, ...api })
  return tokens.access_token
}

interface Front {
  readonly url: string
  dispatch: Dispatch | undefined
}

/** An address in front of a Worker that is yet to start. */
async function openFront(running: Running): Promise<Front> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => response.destroy(error))
  })
  const url = `http://localhost:${await listen(server, 0)}`
  const front: Front = { url, dispatch: undefined }
  running.add({
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!front.dispatch) throw new Error('the Worker has not started')
    const { method = 'GET', url: path = '/' } = request
    const isBodied = method !== 'GET' && method !== 'HEAD'
    const headers = Object.entries(request.headersDistinct)
      .filter(([name]) => !HOP_BY_HOP.has(name))
      .flatMap(([name, values = []]) => values.map((value): [string, string] => [name, value]))
    const answered = await front.dispatch(new URL(path, url), {
      ...{ method, headers, redirect: 'manual' },
      ...(isBodied && { body: Buffer.concat(await request.toArray()) }),
    })
    response.statusCode = answered.status
    for (const [name, value] of answered.headers) {
      if (name !== 'mf-content-encoding') response.appendHeader(name, value)
    }
    if (answered.body) await pipeline(Readable.fromWeb(answered.body as never), response)
    else response.end()
  }
  return front
}

const HOP_BY_HOP = new Set([
  'connection',
  'host',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'expect',
])
