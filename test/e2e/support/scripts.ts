/** Runs the command line tools of `dev/` as a person does: processes of their own, from the project's root. */
import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PROJECT } from '../../../dev/wrangler.ts'

const run = promisify(execFile)

export interface Outcome {
  code: number
  output: string
}

export const script = (name: string, ...args: string[]): Promise<Outcome> => scriptIn({}, name, ...args)

export async function scriptIn(env: NodeJS.ProcessEnv, name: string, ...args: string[]): Promise<Outcome> {
  try {
    const { stdout, stderr } = await run(process.execPath, [join('dev', name), ...args], {
      cwd: PROJECT,
      env: { ...process.env, ...env },
    })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

/** What the child has printed once it has printed `text`. */
export function printed(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const take = (chunk: Buffer) => {
      output += chunk
      if (output.includes(text)) resolve(output)
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    child.once('exit', (code) => reject(new Error(`exited with ${code}:\n${output}`)))
  })
}

/** Stops a child as Ctrl-C does, and waits for its end; one that has ended already is left alone. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGINT')
  await exited
}
