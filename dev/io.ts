/**
 * What a command line tool reads and writes: the process's, or that of a test that runs the tool in its own process. It follows
 * the run, so that nothing in between has to hand it on, and several runs at once do not mix.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

export interface Io {
  readonly env: NodeJS.ProcessEnv
  /** To stdout, as it is. */
  out(text: string): void
  /** To stderr, as it is. */
  err(text: string): void
  /** The exit status once everything is done. */
  exit(code: number): void
}

export const PROCESS: Io = {
  env: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  exit: (code) => {
    process.exitCode = code
  },
}

const current = new AsyncLocalStorage<Io>()

export const io = (): Io => current.getStore() ?? PROCESS

export const withIo = <T>(own: Io, run: () => T): T => current.run(own, run)

/** A line of the result. */
export const print = (text: string): void => io().out(`${text}\n`)

/** A line about the run: progress, warnings, errors. */
export const report = (text: string): void => io().err(`${text}\n`)
