/**
 * What the command line tools of this folder share: errors, signals and a little colour.
 *
 * Colour follows the terminal and `NO_COLOR`, through Node's own `styleText`.
 */
import { inspect, styleText } from 'node:util'
import { io, report } from './io.ts'
import { printable } from './printable.ts'

/** A mistake of the person at the keyboard: the message is all they need to see, without a stack. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Runs a command line tool: a usage error is printed as it is, anything else is a bug and keeps its stack. */
export async function main(run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    report(error instanceof UsageError ? `\n${printable(error.message)}\n` : inspect(error))
    io().exit(1)
  }
}

type Style = Parameters<typeof styleText>[0]

export const paint = (style: Style, text: string): string =>
  styleText(style, text, { stream: process.stdout, validateStream: true })

/** What has been started, to be stopped in the reverse order. What starts too late is stopped at once. */
export class Running {
  readonly #closers: (() => Promise<void>)[] = []
  #closed = false

  add<T extends { close(): Promise<void> }>(started: T): T {
    if (this.#closed) {
      void started.close()
      throw new UsageError('Stopped while starting.')
    }
    this.#closers.push(() => started.close())
    return started
  }

  async close(): Promise<void> {
    this.#closed = true
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) await close()
  }
}

export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Settles on Ctrl-C or SIGTERM. Calling it early keeps a signal during start-up from leaving children behind. */
export function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of STOP_SIGNALS) process.once(signal, () => resolve(signal))
  })
}
