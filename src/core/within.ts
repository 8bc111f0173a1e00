/**
 * A time limit for work that cannot be cancelled. Pure but for the timer.
 *
 * The work goes on after the limit; what it comes to then is nobody's, a failure included.
 */

/** @returns what the work comes to, or `undefined` where that takes longer. What the work throws in time is thrown. */
export async function within<T>(timeoutMs: number, work: T | Promise<T>): Promise<T | undefined> {
  // Not `Promise.withResolvers`: the guard library also runs on Node 20.
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    if (timer !== undefined) clearTimeout(timer)
  }
}
