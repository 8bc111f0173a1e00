/**
 * A bare HTTP server as upstream: every byte and every event of the connection is in the test's hands.
 */
import { createHash } from 'node:crypto'
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
  server.on('upgrade', ({ headers }, socket) => {
    // RFC 6455 section 4.2.2.
    const key = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    const lines = ['Connection: Upgrade', 'Upgrade: websocket', `Sec-WebSocket-Accept: ${accept}`]
    socket.end(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
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
