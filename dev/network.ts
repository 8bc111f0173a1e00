/**
 * Ports of the local environment: is one free, which one is, and listening with an error that says what to do.
 *
 * Everything listens on 127.0.0.1 only, because the local IdP asks for no password. A port found free can be taken by
 * somebody else a moment later; that is accepted, as the server that then fails names the port.
 */
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

/** Ports that nobody listens on, held open together while they are chosen so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(probes.map((probe) => listen(probe, 0)))
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))))
  return ports
}
