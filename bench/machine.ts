/** What a result is of: the commit, whether anything was changed since, and the class of the machine. */
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { workerdVersion } from './workerd.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** `null` where the sources are in no repository. */
function commit(): string | null {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  try {
    const dirty = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/*.json') !== ''
    return `${git('rev-parse', 'HEAD')}${dirty ? ' and changes' : ''}`
  } catch {
    return null
  }
}

export function provenance() {
  const cores = availableParallelism()
  const gibibytes = Math.round(totalmem() / 2 ** 30)
  return {
    at: new Date().toISOString(),
    commit: commit(),
    machine: {
      class: `${process.platform}-${process.arch}, ${cores} cores, ${gibibytes} GiB`,
      cpu: cpus()[0]?.model,
      cores,
      node: process.versions.node,
      workerd: workerdVersion,
    },
  }
}
