/** Objects of options: a name that nobody knows is a misspelt one, and must not be taken for left out. Pure. */

/** @throws TypeError when it is no object, or has a member that is none of these */
export function refuseUnknown(what: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new TypeError(`${what} must be an object of ${known.join(', ')}`)
  const unknown = Object.keys(given).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new TypeError(`${what}: there is no "${unknown}". There are: ${known.join(', ')}`)
}
