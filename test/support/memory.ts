/**
 * Temporary folders in memory, where the system has a file system there with room in it. Every commit of D1, KV and the Durable
 * Objects waits for the disk, and that is most of what these tests would wait for.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'
/** Containers often have 64 MB, which is too little. */
const ROOM_BYTES = 1024 ** 3

/** For this process and what it starts, from now until its end. */
export function keepStateInMemory(): void {
  if (process.env.TMPDIR?.startsWith(MEMORY) || !hasRoom()) return
  // What Node has compiled once stays where the next run finds it.
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache')
  const folder = mkdtempSync(`${MEMORY}/remint-test-`)
  process.env.TMPDIR = folder
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    return bavail * bsize > ROOM_BYTES
  } catch {
    return false
  }
}
