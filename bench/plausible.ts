/**
 * Whether a result is one at all. The bounds are wide: they find a bench that measures nothing, not a machine that is slow,
 * and no figure between them fails a run. Pure.
 */
export interface Bounds {
  readonly atLeast: number
  readonly atMost: number
}

/** Of two Workers' throughput. */
export const RATIO: Bounds = { atLeast: 0.01, atMost: 100 }
/** Of one request, in µs of CPU or ms of waiting, on any machine. */
export const COST: Bounds = { atLeast: 0.001, atMost: 1e6 }
/** What is counted, per request or per second. */
export const COUNT: Bounds = { atLeast: 0.01, atMost: 1e7 }
/** A difference of two times, which noise can turn round. */
export const DIFFERENCE: Bounds = { atLeast: -1e4, atMost: 1e4 }

/**
 * What is wrong with the figures, a line each.
 *
 * @param figures - by name; a figure of several rounds is judged in each of them
 * @param expected - every figure that there must be, and within what
 */
export function implausible(
  figures: Readonly<Record<string, number | readonly number[] | undefined>>,
  expected: Readonly<Record<string, Bounds>>,
): string[] {
  return Object.entries(expected).flatMap(([name, { atLeast, atMost }]) => {
    const rounds = [figures[name] ?? []].flat()
    if (rounds.length === 0) return [`${name}: was not measured`]
    return rounds
      .filter((value) => !(value >= atLeast && value <= atMost))
      .map((value) => `${name}: ${value} is not within ${atLeast} and ${atMost}`)
  })
}

/** Ends the run where a result is none. */
export function expectPlausible(...checked: Parameters<typeof implausible>): void {
  const problems = implausible(...checked)
  if (problems.length > 0) throw new Error(`The bench measures nothing sensible:\n${problems.join('\n')}`)
}
