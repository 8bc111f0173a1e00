/** Requests as they are written: several headers of one name, names with dots and underscores, paths left alone. */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

export interface Sent {
  readonly method?: string
  /** Names and values, in order. */
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string
}

export async function send(url: string, { method = 'GET', headers = [], body }: Sent = {}): Promise<Answer> {
  const { hostname, port, host } = new URL(url)
  const path = url.slice(url.indexOf('/', 'http://'.length))
  const length: [string, string][] =
    body === undefined ? [] : [['Content-Length', `${Buffer.byteLength(body)}`]]
  const request = httpRequest({
    hostname,
    port,
    path,
    method,
    agent: false,
    headers: [['Host', host], ...headers, ...length].flat(),
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode ?? 0, headers: response.headers, text }
}

/** Asks for another protocol. @returns the status: 101 where it is agreed on */
export async function upgrade(url: string, headers: readonly (readonly [string, string])[]): Promise<number> {
  const { hostname, port, host, pathname } = new URL(url)
  const given = [['Host', host], ...headers].flat()
  const request = httpRequest({ hostname, port, path: pathname, agent: false, headers: given })
  request.end()
  const [response, socket] = (await Promise.race([once(request, 'upgrade'), once(request, 'response')])) as [
    IncomingMessage,
    Socket | undefined,
  ]
  socket?.destroy()
  response.resume()
  return response.statusCode ?? 0
}

export const authorization = (presented: readonly string[]): [string, string][] =>
  presented.map((value) => ['Authorization', value])

export const postJson = (
  url: string,
  body: unknown,
  headers: readonly (readonly [string, string])[] = [],
): Promise<Answer> =>
  send(url, {
    method: 'POST',
    headers: [['Content-Type', 'application/json'], ...headers],
    body: JSON.stringify(body),
  })
