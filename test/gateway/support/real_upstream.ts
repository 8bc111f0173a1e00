/**
 * A small identity provider in Node, behind a real socket, for what only a real connection shows: compression,
 * cut-offs, stalls, redirects. Vitest starts it once for all tests inside workerd; they learn its address with
 * `inject('upstream')`.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { TestProject } from 'vitest/node'

export default async function setup(project: TestProject) {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  const server = createServer(async (request, response) => {
    request.resume()
    const origin = `http://localhost:${(server.address() as AddressInfo).port}`
    const path = new URL(request.url ?? '/', origin).pathname
    const answer = answers[path]
    if (answer) return answer(response)
    if (path === '/.well-known/openid-configuration') {
      return json(response, { issuer: origin, token_endpoint: `${origin}/token`, jwks_uri: `${origin}/jwks` })
    }
    if (path === '/jwks') return json(response, { keys: [{ ...jwk, kid, alg: 'ES256' }] })
    if (path !== '/token') return response.writeHead(404).end()
    switch (request.headers['x-fault']) {
      case 'cut-off':
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
        return response.write('{"access_token":', () => response.destroy())
      case 'stalled':
        response.writeHead(200, { 'content-type': 'application/json' })
        return response.write('{"access_token":')
      case 'slow':
        return
    }
    const accessToken = await new SignJWT({ org_id: 'org_acme' })
      .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt' })
      .setIssuer(origin)
      .setAudience('https://api.test')
      .setSubject('user_1')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey)
    const body = JSON.stringify({ access_token: accessToken, expires_in: 3600, refresh_token: 'rotated' })
    gzipped(response, 'application/json', body)
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  project.provide('upstream', `http://localhost:${(server.address() as AddressInfo).port}`)
  return () => {
    server.closeAllConnections()
    return new Promise<void>((resolve) => server.close(() => resolve()))
  }
}

const answers: Record<string, (response: ServerResponse) => unknown> = {
  '/page': (response) => gzipped(response, 'text/html; charset=utf-8', `<p>${'grüße '.repeat(1000)}</p>`),
  '/redirect': (response) => response.writeHead(302, { location: '/page' }).end(),
  '/cookies': (response) =>
    response.writeHead(200, { 'set-cookie': ['a=1; Path=/', 'b=2; Path=/'] }).end('ok'),
  '/not-modified': (response) => response.writeHead(304, { etag: '"x"' }).end(),
  '/empty': (response) => response.writeHead(204).end(),
}

const json = (response: ServerResponse, value: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))

function gzipped(response: ServerResponse, contentType: string, text: string) {
  const body = gzipSync(text)
  const headers = { 'content-type': contentType, 'content-encoding': 'gzip', 'content-length': body.length }
  response.writeHead(200, headers).end(body)
}
