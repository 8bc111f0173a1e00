/** What other people typed reaches a terminal as text, never as a command to it. */
import { expect, test } from 'vitest'
import { UsageError } from '../../dev/cli.ts'
import { ControlClient } from '../../dev/control_client.ts'
import { parseFlagsFile } from '../../dev/flags/file.ts'
import { parsePrintable, printable, printableLine } from '../../dev/printable.ts'

test.each([
  ['a carriage return', 'safe\revil', 'safe\\u{d}evil'],
  ['an escape sequence', '\u001b[2Jgone', '\\u{1b}[2Jgone'],
  ['an eight-bit sequence', '\u009b31m', '\\u{9b}31m'],
  ['a bell and a delete', '\u0007\u007f', '\\u{7}\\u{7f}'],
  ['a right-to-left override', 'a\u202eb', 'a\\u{202e}b'],
  ['an isolate', 'a\u2066b', 'a\\u{2066}b'],
  ['half a character', 'a\ud83c', 'a\\u{d83c}'],
  ['a line separator', 'a\u2028b', 'a\\u{2028}b'],
])('%s is shown, not sent', (_, text, shown) => {
  expect(printable(text)).toBe(shown)
  expect(parsePrintable(JSON.stringify({ a: [text] }))).toEqual({ a: [shown] })
})

test('lines, tabs, accents and emoji stay', () => {
  expect(printable('é 🎉\n\tx')).toBe('é 🎉\n\tx')
  expect(printableLine('a\nb')).toBe('a\\u{a}b')
})

const faultOf = (text: string): string => {
  try {
    parseFlagsFile(text, 'flags.yaml')
    return ''
  } catch (error) {
    return error instanceof UsageError ? error.message : `not a UsageError: ${error}`
  }
}

test.each([
  ['an escape in a key', '"\\u001b[2J": 1'],
  ['a workflow command in a key', '"x\\n::stop-commands::y": 1'],
])('%s of a flags file cannot begin a line of the error', (_, line) => {
  const message = faultOf(`format: 1\nflags:\n  ${line}\n`)
  expect(message).toMatch(/^flags\.yaml:/)
  expect(message).not.toMatch(/^::/m)
  expect(message).not.toContain('\u001b')
})

test('a bomb of aliases is a fault of the file, not a crash', () => {
  const levels = Array.from(
    { length: 9 },
    (_, i) => `l${i + 1}: &l${i + 1} [${'*l'.concat(`${i}, `).repeat(9)}]`,
  )
  expect(faultOf(['l0: &l0 [x]', ...levels].join('\n'))).toContain('its aliases unfold into too much')
})

test.each([
  ['http://control.example.com', false],
  ['http://10.0.0.7:8788', false],
  ['ftp://localhost', false],
  ['https://control.example.com', true],
  ['http://localhost:8788', true],
  ['http://[::1]:8788', true],
])('an API key is sent to %s: %s', (url, sent) => {
  const make = () => new ControlClient(url, 'remint_key')
  if (sent) expect(make).not.toThrow()
  else expect(make).toThrow('An API key goes over https, or to this machine')
})
