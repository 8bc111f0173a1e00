import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseObjectText, replaceMembers } from '../../../src/gateway/http/json_text.ts'

type Values = Record<string, string | number>

function replace(text: string, values: Values): string | undefined {
  const parsed = parseObjectText(text)
  return parsed && replaceMembers(parsed, new Map(Object.entries(values)))
}

describe('a single value is replaced, and everything else stays byte for byte', () => {
  test.each<[string, string, Values, string]>([
    ['a string', '{"a":"old","b":1}', { a: 'new' }, '{"a":"new","b":1}'],
    ['the last member', '{"b":1,"a":"old"}', { a: 'new' }, '{"b":1,"a":"new"}'],
    ['the only member', '{"a":0}', { a: 300 }, '{"a":300}'],
    ['an object', '{"a":{"a":["}",{"a":"]"}]},"b":1}', { a: 'new' }, '{"a":"new","b":1}'],
    ['a list', '{"a":[1,"]",[2]],"b":1}', { a: 'new' }, '{"a":"new","b":1}'],
    ['a literal', '{"a":true,"b":null}', { a: 'x', b: 'y' }, '{"a":"x","b":"y"}'],
    [
      'spaces of every kind',
      '\n{\t"a" :\r\n "old" , "b" : 1 }\n',
      { a: 'new' },
      '\n{\t"a" :\r\n "new" , "b" : 1 }\n',
    ],
    [
      'a number that JavaScript cannot hold',
      '{"n":12345678901234567890,"x":1.10,"e":1E400,"a":1}',
      { a: 2 },
      '{"n":12345678901234567890,"x":1.10,"e":1E400,"a":2}',
    ],
    [
      'escapes around it',
      '{"q\\"\\\\":"\\"a\\":\\\\","a":"o\\\\","z":"\\u00e9\\/"}',
      { a: 'new' },
      '{"q\\"\\\\":"\\"a\\":\\\\","a":"new","z":"\\u00e9\\/"}',
    ],
    ['a name that is written with escapes', '{"\\u0061":"old"}', { a: 'new' }, '{"\\u0061":"new"}'],
    [
      'a name that occurs twice, both times',
      '{"a":"one","b":1,"a":"two"}',
      { a: 'new' },
      '{"a":"new","b":1,"a":"new"}',
    ],
    [
      'no member of the same name further in',
      '{"u":{"a":"inner"},"l":[{"a":1}],"a":"old"}',
      { a: 'new' },
      '{"u":{"a":"inner"},"l":[{"a":1}],"a":"new"}',
    ],
    [
      'no text that looks like the member',
      '{"b":"\\"a\\":\\"x\\"","a":"old"}',
      { a: 'new' },
      '{"b":"\\"a\\":\\"x\\"","a":"new"}',
    ],
    ['what is not there is not added', '{"b":1}', { a: 'new' }, '{"b":1}'],
    ['an empty object', ' { } ', { a: 'new' }, ' { } '],
    [
      'names of every object',
      '{"__proto__":1,"constructor":2}',
      { constructor: 'x' },
      '{"__proto__":1,"constructor":"x"}',
    ],
    ['other alphabets', '{"ключ":"значение 🔑","a":"old"}', { a: 'new' }, '{"ключ":"значение 🔑","a":"new"}'],
    ['a value that needs escapes', '{"a":1}', { a: '"\\\n' }, '{"a":"\\"\\\\\\n"}'],
  ])('%s', (_, text, values, expected) => {
    expect(replace(text, values)).toBe(expected)
  })
})

describe('for any object', () => {
  /** The same JSON with spaces wherever JSON allows them. */
  const spaced = fc
    .tuple(
      fc.dictionary(
        fc.oneof(fc.constantFrom('a', 'b', '"', '\\'), fc.string({ unit: 'binary' })),
        fc.jsonValue(),
      ),
      fc.constantFrom(undefined, 1, '\t', '\n  '),
    )
    .map(([object, indent]) => JSON.stringify(object, null, indent as number))

  test('replacing is parsing, changing and printing', () => {
    fc.assert(
      fc.property(spaced, fc.string({ unit: 'binary' }), (text, value) => {
        const object = JSON.parse(text)
        const changed = Object.hasOwn(object, 'a') ? { ...object, a: value } : object
        expect(JSON.parse(replace(text, { a: value }) as string)).toEqual(changed)
      }),
      { numRuns: 500 },
    )
  })

  test('replacing nothing changes nothing, and each member stands where it says', () => {
    fc.assert(
      fc.property(spaced, (text) => {
        const parsed = parseObjectText(text)
        expect(replace(text, { 'not there': 1 })).toBe(text)
        for (const { name, start, end } of parsed?.members ?? []) {
          expect(JSON.parse(text.slice(start, end))).toEqual(parsed?.object[name])
        }
        expect(parsed?.members.map(({ name }) => name).sort()).toEqual(Object.keys(JSON.parse(text)).sort())
      }),
      { numRuns: 500 },
    )
  })
})

test.each(['', 'null', '[]', '"{}"', '7', '{', '{"a":1}}', '{"a":1,}', "{'a':1}", '\uFEFF{"a":1}'])(
  'the text %j is no JSON object',
  (text) => {
    expect(parseObjectText(text)).toBeUndefined()
  },
)
