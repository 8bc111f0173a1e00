/**
 * A JSON object as text: its top-level members with their places, and replacement of single values. Pure.
 *
 * Parsing and printing again would lose what JavaScript cannot represent (large numbers, repeated names, spacing), and
 * everything that is not replaced must stay byte for byte what upstream wrote.
 */

export interface JsonObjectText {
  readonly text: string
  /** The result of `JSON.parse`: of a repeated member the last counts. */
  readonly object: Readonly<Record<string, unknown>>
  /** Every member in the order of the text, repeated names included. */
  readonly members: readonly Member[]
}

export interface Member {
  readonly name: string
  /** Where the value stands in the text: `[start, end)`. */
  readonly start: number
  readonly end: number
}

/** Reads the text of a JSON object; `undefined` if it is not one. */
export function parseObjectText(text: string): JsonObjectText | undefined {
  let object: unknown
  try {
    object = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return undefined

  // The text is valid JSON from here on, so the scan only has to find borders.
  const members: Member[] = []
  let at = skipSpace(text, text.indexOf('{') + 1)
  while (text[at] !== '}') {
    const nameEnd = endOfString(text, at)
    const name = JSON.parse(text.slice(at, nameEnd)) as string
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1)
    const end = endOfValue(text, start)
    members.push({ name, start, end })
    at = skipSpace(text, end)
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return { text, object: object as Record<string, unknown>, members }
}

/** The text with the values of the named members replaced by other JSON values, wherever they occur. */
export function replaceMembers(
  { text, members }: JsonObjectText,
  values: ReadonlyMap<string, string | number>,
): string {
  let result = ''
  let copied = 0
  for (const member of members) {
    const value = values.get(member.name)
    if (value === undefined) continue
    result += text.slice(copied, member.start) + JSON.stringify(value)
    copied = member.end
  }
  return result + text.slice(copied)
}

/**
 * The texts of the values of all members with such a name, at any depth and repeated ones included. What lies under one that
 * was found is in its text.
 *
 * @param text - valid JSON
 */
export function valuesNamed(text: string, isNamed: (name: string) => boolean): string[] {
  const values: string[] = []
  for (let at = text.indexOf('"'); at !== -1; ) {
    let end = endOfString(text, at)
    const colon = skipSpace(text, end)
    if (text[colon] === ':' && isNamed(JSON.parse(text.slice(at, end)) as string)) {
      const start = skipSpace(text, colon + 1)
      end = endOfValue(text, start)
      values.push(text.slice(start, end))
    }
    at = text.indexOf('"', end)
  }
  return values
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (at < text.length && ' \t\n\r'.includes(text[at] as string)) at++
  return at
}

/** One past the closing quote of the string that opens at `from`. */
function endOfString(text: string, from: number): number {
  let close = text.indexOf('"', from + 1)
  while (isEscaped(text, close)) close = text.indexOf('"', close + 1)
  return close + 1
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0
  while (text[at - 1 - backslashes] === '\\') backslashes++
  return backslashes % 2 === 1
}

function endOfValue(text: string, from: number): number {
  const first = text[from]
  if (first === '"') return endOfString(text, from)
  if (first !== '{' && first !== '[') {
    let at = from
    while (!' \t\n\r,}'.includes(text[at] as string)) at++
    return at
  }
  let depth = 0
  for (let at = from; ; at++) {
    const character = text[at]
    if (character === '"') at = endOfString(text, at) - 1
    else if (character === '{' || character === '[') depth++
    else if ((character === '}' || character === ']') && --depth === 0) return at + 1
  }
}
