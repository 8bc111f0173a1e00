/** Waiting for what happens by itself: long enough for a machine that is busy with other tests. Runs in Node and in workerd. */
const WAIT_MS = 30_000
const POLL_MS = 20

/** What `find` gives once it gives something. */
export async function eventually<T>(
  find: () => T | undefined | Promise<T | undefined>,
  what: string,
): Promise<T> {
  const deadline = Date.now() + WAIT_MS
  for (;;) {
    const found = await find()
    if (found !== undefined) return found
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${WAIT_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** For `expect.poll`. */
export const PATIENT = { timeout: WAIT_MS }
