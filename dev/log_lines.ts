/**
 * Which of the lines that `wrangler dev` prints are for a developer's eyes: those of the Worker, and wrangler's errors. Pure.
 *
 * The Worker logs a line of JSON for each request. What it writes to the error stream, which is every answer of 500 and
 * above with its reason, wrangler dresses up with a symbol, `[ERROR]` and colours.
 */
import { stripVTControlCharacters } from 'node:util'

const LABEL = /^(?:\S+ )?\[(?:ERROR|WARNING)\] +/
const ERROR = /^(?:\S+ )?\[ERROR\] +\S/

/** The line as it is to be printed, or `undefined`. */
export function shownLine(line: string): string | undefined {
  const plain = stripVTControlCharacters(line).trim()
  const bare = plain.replace(LABEL, '')
  if (isJsonObject(bare)) return bare
  return ERROR.test(plain) ? plain : undefined
}

/** Prints it, if it is. */
export function printShown(line: string): void {
  const shown = shownLine(line)
  if (shown !== undefined) console.log(shown)
}

function isJsonObject(text: string): boolean {
  if (!text.startsWith('{')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
