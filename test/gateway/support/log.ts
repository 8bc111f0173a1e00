/**
 * The console in a test's hands: quiet, so that noise hides no failure, and readable, so that a test can say what is
 * logged and what never is.
 */
import { afterEach, beforeEach, vi } from 'vitest'

export interface CapturedLog {
  /** The gateway's structured lines of this test, in order. */
  readonly lines: Record<string, unknown>[]
  readonly last: Record<string, unknown>
  /** Everything that anybody wrote to the console. */
  readonly text: string
}

/** Call it once at the top of a test file. */
export function captureLog(): CapturedLog {
  let written: string[] = []
  beforeEach(() => {
    written = []
    for (const method of ['debug', 'info', 'log', 'warn', 'error'] as const) {
      vi.spyOn(console, method).mockImplementation((...args: unknown[]) => {
        written.push(args.map(String).join(' '))
      })
    }
  })
  afterEach(() => vi.restoreAllMocks())
  const lines = () => written.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  return {
    get lines() {
      return lines()
    },
    get last() {
      return lines().at(-1)
    },
    get text() {
      return written.join('\n')
    },
  }
}
