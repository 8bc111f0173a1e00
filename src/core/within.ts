/**
 * A time limit for work that cannot be cancelled. Pure but for the timer.
 *
 * The work continues after the limit; its result is then ignored, a failure included.
 */

/** @returns the result of the work, or `undefined` if that takes longer. An error within the limit is thrown. */
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
