/** Runs a command of `dev/` in this process, as its script does in one of its own. */
import type { Command } from 'commander'
import { parseCommandLine } from '../../dev/commands.ts'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Both, in order. */
  readonly output: string
}

export async function runCommand(
  command: Command,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const outcome = { code: 0, stdout: '', stderr: '', output: '' }
  const write = (stream: 'stdout' | 'stderr') => (text: string) => {
    outcome[stream] += text
    outcome.output += text
  }
  const exit = (code: number) => {
    outcome.code = code
  }
  await parseCommandLine(command, { env, out: write('stdout'), err: write('stderr'), exit }, args)
  return outcome
}
