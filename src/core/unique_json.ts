/**
 * JSON in which no member occurs twice. Pure.
 *
 * `JSON.parse` keeps the last of a repeated member, and other parsers keep the first, so a requirement could mean one thing
 * to the service that checked it and another here. RFC 8259 section 4 leaves this open; it is refused.
 */

/** Strings, with the colon that makes one a name, and the borders of objects and lists. */
const TOKENS = /"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|[{}[\]]/g

export class RepeatedMemberError extends SyntaxError {
  override name = 'RepeatedMemberError'
}

/**
 * @throws RepeatedMemberError when a member occurs twice in one object, at any depth
 * @throws SyntaxError when it is not JSON
 */
export function parseUniqueJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  const open: Set<string>[] = []
  for (const [token, string, colon] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') open.push(new Set())
    else if (token === '}' || token === ']') open.pop()
    else if (colon !== undefined) {
      const names = open.at(-1)
      const name = string?.includes('\\') ? (JSON.parse(`"${string}"`) as string) : (string as string)
      if (names?.has(name)) throw new RepeatedMemberError('a member occurs twice')
      names?.add(name)
    }
  }
  return value
}
