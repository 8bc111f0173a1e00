import { expect, test } from 'vitest'
import { environmentsOf, markOwnKey } from '../../src/core/own_keys.ts'

test('a marked key is the same key, with its environment', () => {
  const marked = markOwnKey({ kty: 'EC', kid: 'k' }, 'production')
  expect(marked).toEqual({ kty: 'EC', kid: 'k', remint: 'production' })
  expect(environmentsOf(marked)).toEqual(['production'])
})

test.each<[unknown, string[]]>([
  ['staging', ['staging']],
  [['staging'], ['staging']],
  [
    ['staging', 'production'],
    ['staging', 'production'],
  ],
  [undefined, []],
  [null, []],
  ['', []],
  [true, []],
  [1, []],
  [{ production: true }, []],
  [[], []],
  [['production', 7], []],
  [['production', ''], []],
])('the mark %j names the environments %j', (remint, environments) => {
  expect(environmentsOf({ kty: 'EC', remint })).toEqual(environments)
})
