import { expect, test } from 'vitest'
import { parseUniqueJson } from '../../src/core/unique_json.ts'

test.each([
  '{"all":["a"],"any":["a"]}',
  '{"a":{"a":{"a":1}},"b":{"a":1}}',
  '[{"a":1},{"a":1}]',
  '{"a":"\\"a\\":{\\"a\\":","b":"}{"}',
  '{"":0," ":0}',
  '7',
])('%s is what JSON.parse makes of it', (text) => {
  expect(parseUniqueJson(text)).toEqual(JSON.parse(text))
})

test.each([
  '{"a":1,"a":1}',
  '{"b":[{"a":1 , "a"  : 2}]}',
  '{"a":1,"\\u0061":2}',
  '{"x":{},"x":{}}',
  '{"a":1',
])('%s is refused', (text) => {
  expect(() => parseUniqueJson(text)).toThrow(SyntaxError)
})
