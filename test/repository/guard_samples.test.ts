/** The samples of docs/guard.md run: each lets the right token pass, refuses the wrong one, and answers preflights. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listen } from '../../dev/network.ts'

const ROOT = process.cwd()
const blocks = [...readFileSync('docs/guard.md', 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(
  ([, code = '']) => code,
)
const sampleOf = (mark: string): string => blocks.find((code) => code.includes(mark)) ?? `missing: ${mark}`

/** In place of the library: the same, with the key set of the tests instead of one on the network. */
const LIBRARIES: Record<string, string> = {
  'remint/guard': `import { createGuard as create } from '${ROOT}/src/guard/index.ts'
    import { testGuardOptions } from 'remint/testing'
    const { fetch, environment } = testGuardOptions()
    export const createGuard = (options) => create({ ...options, fetch, environment })`,
  'remint/guard/node': `import { createNodeGuard as create } from '${ROOT}/src/guard/node.ts'
    import { testGuardOptions } from 'remint/testing'
    export { identityOf } from '${ROOT}/src/guard/node.ts'
    const { fetch, environment } = testGuardOptions()
    export const createNodeGuard = (options) => create({ ...options, fetch, environment })`,
  // As much of Next.js as the sample uses; test/clients runs the real one.
  'next/server': `export class NextResponse extends Response {
      static next({ request }) {
        return Object.assign(new NextResponse('next'), { handed: request.headers })
      }
    }`,
}

let folder: string
let token: string
let poor: string
let testing: typeof import('../../src/testing/index.ts')
beforeAll(async () => {
  mkdirSync(join(ROOT, '.wrangler'), { recursive: true })
  folder = mkdtempSync(join(ROOT, '.wrangler', 'samples-'))
  testing = (await bundle(`export * from '${ROOT}/src/testing/index.ts'`, 'testing')) as typeof testing
  const service = { issuer: 'https://auth.example.com', audience: 'https://api.example.com' }
  token = await testing.mintTestToken({ features: ['advanced-analytics'], orgId: 'org_acme', ...service })
  poor = await testing.mintTestToken({ features: ['sso'], ...service })
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Compiles and imports. `remint/testing` is one module for all samples, as it holds the key. */
async function bundle(code: string, name: string): Promise<Record<string, unknown>> {
  const outfile = join(folder, `${name}.mjs`)
  writeFileSync(join(folder, `${name}.ts`), code)
  await build({
    entryPoints: [join(folder, `${name}.ts`)],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['express', 'fastify', 'hono', 'jose'],
    plugins: [
      {
        name: 'libraries',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^remint\/testing$/ }, () => ({
            path: join(folder, 'testing.mjs'),
            external: true,
          }))
          onResolve({ filter: /^(remint|next)\// }, ({ path }) => ({ path, namespace: 'library' }))
          onLoad({ filter: /.*/, namespace: 'library' }, ({ path }) => ({
            contents: LIBRARIES[path] ?? '',
            loader: 'ts',
            resolveDir: ROOT,
          }))
        },
      },
    ],
  })
  return import(pathToFileURL(outfile).href)
}

type Ask = (path: string, init?: RequestInit) => Promise<Response>

const PREFLIGHT = {
  method: 'OPTIONS',
  headers: { origin: 'https://app.example.com', 'access-control-request-method': 'GET' },
}
const withToken = (bearer: string) => ({
  headers: { authorization: `Bearer ${bearer}`, origin: 'https://app.example.com' },
})

async function serve(server: Server): Promise<Ask> {
  const port = await listen(server, 0)
  return (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init)
}

const SAMPLES: [string, string, (sample: Sample) => Ask | Promise<Ask>][] = [
  [
    'Hono',
    "from 'hono'",
    ({ default: app }) =>
      async (path, init) =>
        app.request(path, init),
  ],
  ['Express', "from 'express'", ({ app }) => serve(createServer(app))],
  [
    'Fastify',
    "from 'fastify'",
    async ({ app }) => {
      await app.ready()
      return serve(app.server)
    },
  ],
  ['Node', "from 'node:http'", ({ server }) => serve(server)],
]

/** What the samples export, each some of it. */
interface Sample {
  readonly default: { request(path: string, init?: RequestInit): Promise<Response> }
  readonly app: RequestListener & { ready(): Promise<void>; readonly server: Server }
  readonly server: Server
}

describe.each(SAMPLES)('%s', (name, mark, open) => {
  let ask: Ask
  beforeAll(async () => {
    ask = await open((await bundle(sampleOf(mark), name)) as unknown as Sample)
  })

  test('the right token passes', async () => {
    const response = await ask('/reports', withToken(token))
    expect([response.status, await response.json()]).toEqual([200, { org: 'org_acme' }])
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example.com')
  })

  test('one without the flag, and none at all, do not', async () => {
    expect((await ask('/reports', withToken(poor))).status).toBe(403)
    expect((await ask('/reports')).status).toBe(401)
  })

  test('a preflight is answered before the guard', async () => {
    const response = await ask('/reports', PREFLIGHT)
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example.com')
    expect(response.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('authorization')
    expect(await response.text()).toBe('')
  })
})

describe('Next.js', () => {
  let proxy: (request: Request) => Promise<Response & { handed?: Headers }>
  beforeAll(async () => {
    proxy = (await bundle(sampleOf("from 'next/server'"), 'next')).proxy as typeof proxy
  })
  const request = (init: RequestInit) => new Request('https://api.example.com/api/reports', init)

  test('what the client sends under our names is replaced', async () => {
    const headers = {
      ...withToken(token).headers,
      ...{ 'x-remint-org': 'evil', x_remint_org: 'evil', 'x-remint-sub': 'evil', 'x-other': 'kept' },
    }
    const { handed } = await proxy(request({ headers }))
    expect(handed?.get('x-remint-org')).toBe('org_acme')
    expect(handed?.get('x-remint-features')).toBe('advanced-analytics')
    expect(handed?.get('x-other')).toBe('kept')
    expect(JSON.stringify([...(handed ?? [])])).not.toContain('evil')
  })

  test('a request that is refused goes no further', async () => {
    for (const init of [{}, withToken(poor)]) {
      const response = await proxy(request(init))
      expect([401, 403]).toContain(response.status)
      expect(response.handed).toBeUndefined()
    }
  })

  test('a preflight is answered, and reaches no handler', async () => {
    const response = await proxy(request(PREFLIGHT))
    expect([response.status, response.handed]).toEqual([204, undefined])
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example.com')
  })
})

test('the sample of a service’s tests holds what it asserts', async () => {
  const code = sampleOf("from 'remint/testing'").replaceAll('console.assert(', 'asserted.push(')
  const sample = await bundle(`export const asserted: boolean[] = []\n${code}`, 'service_tests')
  await (sample.testReports as () => Promise<void>)()
  expect(sample.asserted).toEqual([true, true])
})
