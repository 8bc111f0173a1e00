/**
 * Text of others for a terminal. Pure.
 *
 * A control character in a description could move the cursor, hide a line, or speak to the runner of a pipeline; an
 * override of the writing direction makes a line read as another one. They are shown as what they are, `\u{1b}`.
 */
const HIDDEN = /[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu

const escaped = (character: string): string => `\\u{${character.codePointAt(0)?.toString(16)}}`

/** One or more lines; line feeds and tabs stay. */
export const printable = (text: string): string =>
  text.replace(HIDDEN, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  )

/** A name within a line. */
export const printableLine = (text: string): string => text.replace(HIDDEN, escaped)

/** JSON of another machine, with every string in it printable. @throws SyntaxError */
export const parsePrintable = (text: string): unknown =>
  JSON.parse(text, (_, value: unknown) => (typeof value === 'string' ? printable(value) : value))
