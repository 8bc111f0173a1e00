/**
 * Ports of the local environment: checking one, finding a free one, and listening with an error that says what to do.
 *
 * Everything listens on 127.0.0.1 only, because the local IdP asks for no password. A free port can be taken by
 * another process a moment later; that is accepted, because the server that then fails names the port.
 */
import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { UsageError } from './cli.ts'

const HOST = '127.0.0.1'

export async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, HOST, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

/** @param option - the command that gives `owner` another port, without the number */
export async function requireFreePort(port: number, owner: string, option: string): Promise<void> {
  const probe = createServer()
  try {
    await listen(probe, port)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error
    const why =
      code === 'EADDRINUSE'
        ? 'is in use by another process. Is npm start already running?'
        : 'needs privileges that you do not have.'
    const other = code === 'EACCES' ? port + 8000 : port === 65_535 ? port - 1 : port + 1
    throw new UsageError(`Port ${port} ${why}\nTo give ${owner} another port: ${option} ${other}`)
  } finally {
    probe.close()
  }
}

/** Below the ephemeral range, which systems use for outgoing connections and for port 0. */
const CHOSEN_FROM = 20_000
const CHOSEN_TO = 30_000

/** Free ports, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = randomInt(CHOSEN_FROM, CHOSEN_TO)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

export async function isFree(port: number): Promise<boolean> {
  try {
    await requireFreePort(port, '', '')
    return true
  } catch (error) {
    if (error instanceof UsageError) return false
    throw error
  }
}
