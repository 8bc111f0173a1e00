/**
 * Sets the stage: bundles, keys, ports, the backend, and each Worker's vars. Everything that differs between two Workers
 * under comparison is in `WORKERS`; the rest is the same for all.
 */
import { randomBytes } from 'node:crypto'
import { freePorts } from '../dev/network.ts'
import type { BackendOptions, Counts } from './backend.ts'
import {
  AUDIENCE,
  ENVIRONMENT,
  LARGE_ENVIRONMENT,
  newSigningKey,
  type SigningKey,
  VERIFIERS,
} from './fixtures.ts'
import { type Bundle, bundle, type RunningWorker, startNode, startWorker } from './workerd.ts'

const WORKERS = {
  gateway: 'src/gateway/worker.ts',
  'gateway-100': 'src/gateway/worker.ts',
  'gateway-id-token': 'src/gateway/worker.ts',
  coalesced: 'src/gateway/worker.ts',
  'mint-log': 'src/gateway/worker.ts',
  passthrough: 'bench/workers/passthrough.ts',
  naive: 'bench/workers/naive.ts',
  floor: 'bench/workers/floor.ts',
  'hono-jwk': 'bench/workers/hono-jwk.ts',
  hello: 'bench/workers/hello.ts',
} as const

export type WorkerName = keyof typeof WORKERS

export interface Stage {
  readonly key: SigningKey
  /** With which `gateway-id-token` signs ID tokens. */
  readonly idTokenKey: SigningKey
  readonly bundles: ReadonlyMap<WorkerName, Bundle>
  /** Starts a Worker in a process of its own. A token of the gateway carries `issuer` as its `iss`. */
  start(name: WorkerName, inspectorPort?: number): Promise<RunningWorker & { readonly issuer: string }>
  counts(): Promise<Counts>
  /** Where the queue of `mint-log` is. */
  readonly queueUrl: string
}

export async function setStage(names: readonly WorkerName[]): Promise<Stage> {
  const bundles = new Map<WorkerName, Bundle>()
  for (const name of names) bundles.set(name, await bundle(WORKERS[name]))

  const key = await newSigningKey()
  const idTokenKey = await newSigningKey('RS256')
  const { privateKey: _, ...upstreamKey } = await newSigningKey()
  const { privateKey: __, ...upstreamIdTokenKey } = await newSigningKey('RS256')
  const [idpPort = 0, kvPort = 0, queuePort = 0] = await freePorts(3)
  const options: BackendOptions = {
    idpPort,
    kvPort,
    upstreamKey,
    idTokenKey: upstreamIdTokenKey,
    gatewayPublicJwk: key.publicJwk,
  }
  await startNode('backend.ts', JSON.stringify(options), [idpPort, kvPort])
  if (names.includes('mint-log')) await startNode('queue.ts', String(queuePort), [queuePort])
  const upstream = `http://127.0.0.1:${idpPort}`

  const start: Stage['start'] = async (name, inspectorPort) => {
    const built = bundles.get(name)
    if (built === undefined) throw new Error(`${name} was not bundled`)
    const [port = 0] = await freePorts(1)
    const issuer = `http://127.0.0.1:${port}`
    const token = { ISSUER: issuer, ENVIRONMENT, UPSTREAM_ORIGIN: upstream, UPSTREAM_AUDIENCE: AUDIENCE }
    const gateway = {
      ...token,
      UPSTREAM_PROFILE: 'oidc',
      UPSTREAM_ISSUER: upstream,
      SIGNING_KEYS: JSON.stringify({ keys: [key.privateJwk] }),
    }
    const vars: Record<WorkerName, Record<string, string>> = {
      gateway,
      'gateway-id-token': {
        ...gateway,
        SIGNING_KEYS: JSON.stringify({ keys: [key.privateJwk, idTokenKey.privateJwk] }),
      },
      'gateway-100': { ...gateway, ENVIRONMENT: LARGE_ENVIRONMENT, VERIFIERS },
      coalesced: { ...gateway, SESSION_PEPPER: randomBytes(32).toString('hex') },
      'mint-log': gateway,
      passthrough: { UPSTREAM_ORIGIN: upstream },
      naive: { ...token, SIGNING_KEY: JSON.stringify(key.privateJwk) },
      floor: { PUBLIC_KEY: JSON.stringify(key.publicJwk) },
      'hono-jwk': { JWKS_URI: `${upstream}/gateway-jwks` },
      hello: {},
    }
    const kv = ['gateway', 'gateway-100', 'gateway-id-token', 'coalesced', 'mint-log', 'naive'].includes(name)
      ? { kvPort }
      : {}
    const sessions = name === 'coalesced'
    const queue = name === 'mint-log' ? { queuePort } : {}
    const inspector = inspectorPort === undefined ? {} : { inspectorPort }
    const worker = await startWorker({
      name,
      bundle: built,
      port,
      vars: vars[name],
      sessions,
      ...kv,
      ...queue,
      ...inspector,
    })
    return { ...worker, issuer }
  }

  return {
    key,
    idTokenKey,
    bundles,
    start,
    queueUrl: `http://127.0.0.1:${queuePort}`,
    counts: async () => (await (await fetch(`${upstream}/counts`)).json()) as Counts,
  }
}
