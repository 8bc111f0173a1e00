/**
 * A bare HTTP server as upstream: every byte and every event of the connection is in the test's hands.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { listen } from '../../../dev/network.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

export interface HttpServer {
  readonly url: string
  close(): Promise<void>
}

/** Starts a server on any free port of loopback; a handler that throws answers 500 with the reason. */
export async function startServer(handle: Handler): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const failed = (error: unknown) => {
      if (!response.headersSent) response.writeHead(500)
      response.end(String(error))
    }
    Promise.resolve()
      .then(() => handle(request, response))
      .catch(failed)
  })
  const port = await listen(server, 0)
  return {
    url: `http://localhost:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export async function readText(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers }).end(text)
}
