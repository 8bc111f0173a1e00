/** `remint/guard/node` in front of real Express, Fastify and Node servers: one table for all three. */
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { listen } from '../../dev/network.ts'
import { createNodeGuard, identityOf, type NodeRequest } from '../../src/guard/node.ts'
import { mintTestToken, revokeTestToken, testGuardOptions } from '../../src/testing/index.ts'

const guard = createNodeGuard(testGuardOptions())
const APP = 'https://app.test'
let runs = 0

function saidBy(request: Parameters<typeof identityOf>[0]): string {
  runs += 1
  const { orgId, features, freshness } = identityOf(request)
  return `${orgId}: ${features.join()}: ${freshness}`
}

/** The CORS handler first: it answers preflights, which carry no token. */
const CORS = {
  'access-control-allow-origin': APP,
  'access-control-allow-headers': 'authorization',
}

function expressServer(): Server {
  const app = express()
  app.use((request, response, next) => {
    response.set(CORS)
    if (request.method === 'OPTIONS') response.sendStatus(204)
    else next()
  })
  app.use('/me', guard.express())
  app.all('/me', (request, response) => void response.send(saidBy(request)))
  app.get('/reports', guard.express('reports'), (request, response) => void response.send(saidBy(request)))
  const live = guard.express({ any: ['reports', 'sso'] }, { freshness: 'live' })
  app.get('/live', live, (request, response) => void response.send(saidBy(request)))
  app.get('/open', (request, response) => void response.send(saidBy(request)))
  return createServer(app)
}

async function fastifyServer(): Promise<Server> {
  const app = fastify()
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(CORS)
    if (request.method === 'OPTIONS') await reply.code(204).send()
  })
  app.options('*', async () => '')
  app.all('/me', { onRequest: guard.fastify() }, async (request) => saidBy(request))
  app.get('/reports', { preHandler: guard.fastify('reports') }, async (request) => saidBy(request))
  const live = guard.fastify({ any: ['reports', 'sso'] }, { freshness: 'live' })
  app.get('/live', { onRequest: live }, async (request) => saidBy(request))
  app.get('/open', async (request) => saidBy(request))
  await app.ready()
  return app.server
}

function nodeServer(): Server {
  return createServer(async (request, response) => {
    for (const [name, value] of Object.entries(CORS)) response.setHeader(name, value)
    if (request.method === 'OPTIONS') return void response.writeHead(204).end()
    try {
      const identity =
        request.url === '/reports'
          ? await guard.admit(request, response, 'reports')
          : request.url === '/live'
            ? await guard.admit(request, response, { any: ['reports', 'sso'] }, { freshness: 'live' })
            : request.url === '/me'
              ? await guard.admit(request, response)
              : identityOf(request)
      if (identity) response.end(saidBy(request))
    } catch {
      response.writeHead(500).end()
    }
  })
}

interface Reply {
  status: number
  body: string
  headers: IncomingMessage['headers']
}

describe.each<[string, () => Server | Promise<Server>]>([
  ['Express', expressServer],
  ['Fastify', fastifyServer],
  ['Node', nodeServer],
])('%s', (_, make) => {
  let server: Server
  let port: number
  beforeAll(async () => {
    server = await make()
    port = await listen(server, 0)
  })
  afterAll(() => server.close())
  beforeEach(() => {
    runs = 0
  })

  const ask = (path: string, headers: string[] = [], method = 'GET') =>
    new Promise<Reply>((resolve, reject) => {
      const sent = httpRequest({
        port,
        host: '127.0.0.1',
        path,
        method,
        headers: ['Host', 'api.test', ...headers],
      })
      sent.on('error', reject)
      sent.on('response', async (response) => {
        let body = ''
        for await (const chunk of response) body += chunk
        resolve({ status: response.statusCode ?? 0, body, headers: response.headers })
      })
      sent.end()
    })
  const bearer = async (features: string[]) => [
    'Authorization',
    `Bearer ${await mintTestToken({ features })}`,
  ]

  test('a handler behind the guard knows who asks', async () => {
    expect(await ask('/reports', await bearer(['reports', 'sso']))).toMatchObject({
      status: 200,
      body: 'org_test: reports,sso: claim',
    })
    expect((await ask('/me', await bearer([]))).body).toBe('org_test: : claim')
    expect((await ask('/live', await bearer(['sso']))).body).toBe('org_test: sso: live')
  })

  test.each<[string, string, () => Promise<string[]>, number, string]>([
    ['no token', '/reports', async () => [], 401, 'token_missing'],
    ['no token', '/me', async () => [], 401, 'token_missing'],
    ['garbage', '/reports', async () => ['Authorization', 'Bearer x'], 401, 'token_malformed'],
    ['another scheme', '/me', async () => ['Authorization', 'Basic eDp5'], 401, 'authorization_malformed'],
    ['a missing feature', '/reports', () => bearer(['sso']), 403, 'feature_missing'],
    // Node keeps the first of the two, and says nothing of the other.
    [
      'two Authorization headers',
      '/reports',
      async () => [...(await bearer(['reports'])), ...(await bearer(['reports']))],
      401,
      'authorization_repeated',
    ],
    [
      'two in other letters',
      '/reports',
      async () => [...(await bearer(['reports'])), 'authorization', 'Bearer x'],
      401,
      'authorization_repeated',
    ],
  ])('%s at %s is refused, and the handler does not run', async (_name, path, headers, status, code) => {
    const reply = await ask(path, await headers())
    expect(reply.status).toBe(status)
    expect(JSON.parse(reply.body)).toMatchObject({ type: 'about:blank', status, code })
    expect(reply.headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/problem\+json(; charset=utf-8)?$/),
      'cache-control': 'no-store',
      'www-authenticate': expect.stringContaining('Bearer realm="remint"'),
      'access-control-allow-origin': APP,
    })
    expect(runs).toBe(0)
  })

  test('a revoked session is refused by live alone', async () => {
    const token = await mintTestToken({ features: ['reports'] })
    const headers = ['Authorization', `Bearer ${token}`]
    expect((await ask('/live', headers)).status).toBe(200)
    revokeTestToken(token)
    expect(JSON.parse((await ask('/live', headers)).body)).toMatchObject({ code: 'token_inactive' })
    expect((await ask('/reports', headers)).status).toBe(200)
  })

  test('a preflight is answered before the guard, and runs no handler', async () => {
    const preflight = ['Origin', APP, 'Access-Control-Request-Method', 'GET']
    for (const path of ['/reports', '/me']) {
      const reply = await ask(path, preflight, 'OPTIONS')
      expect([reply.status, reply.headers['access-control-allow-origin']]).toEqual([204, APP])
    }
    expect(runs).toBe(0)
  })

  test('the identity of a request that no guard has seen is an error', async () => {
    expect((await ask('/open', await bearer(['reports']))).status).toBe(500)
  })
})

test.each<[string, (authorization: string) => NodeRequest, number]>([
  ['headers alone', (authorization) => ({ headers: { authorization } }), 200],
  ['headers, and empty raw ones', (authorization) => ({ headers: { authorization }, rawHeaders: [] }), 200],
  ['a list of one', (authorization) => ({ headers: { authorization: [authorization] } }), 200],
  ['a list of two', (authorization) => ({ headers: { authorization: [authorization, authorization] } }), 401],
  ['none', () => ({ headers: {} }), 401],
  ['nothing', () => ({}), 401],
])('a request that only looks like one of Node’s, with %s: %i', async (_, requestOf, status) => {
  const request = requestOf(`Bearer ${await mintTestToken({ features: ['reports'] })}`)
  const response = { statusCode: 200, setHeader() {}, end() {} }
  const identity = await guard.admit(request, response, 'reports')
  expect([response.statusCode, identity !== undefined]).toEqual([status, status === 200])
})

test.each<[unknown]>([[undefined], [null], [{ al: ['sso'] }], [{ any: [] }], ['Not A Flag']])(
  'the requirement %j throws where the route is made',
  async (required) => {
    expect(() => guard.express(required as never)).toThrow(TypeError)
    expect(() => guard.fastify(required as never)).toThrow(TypeError)
    const request = { method: 'GET', rawHeaders: [] }
    const response = { statusCode: 200, setHeader() {}, end() {} }
    await expect(guard.admit(request, response, required as never)).rejects.toThrow(TypeError)
  },
)

test('requireFeature, which is Hono’s, says so in Express', async () => {
  const { createGuard } = await import('../../src/guard/index.ts')
  const middleware = createGuard(testGuardOptions()).requireFeature('reports')
  const app = express()
  app.get('/', middleware as never)
  let thrown: unknown
  app.use(((
    error: unknown,
    _request: unknown,
    response: { sendStatus(status: number): void },
    _next: unknown,
  ) => {
    thrown = error
    response.sendStatus(500)
  }) as never)
  const server = createServer(app)
  const port = await listen(server, 0)
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(500)
  expect(String(thrown)).toContain('remint/guard/node')
  server.close()
})
