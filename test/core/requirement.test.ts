import fc from 'fast-check'
import { expect, test } from 'vitest'
import { missingFlags } from '../../src/core/requirement.ts'

test.each([
  [['a', 'b'], { all: ['a'], any: [] }, []],
  [['a', 'b'], { all: ['a', 'b'], any: [] }, []],
  [['a'], { all: ['a', 'b'], any: [] }, ['b']],
  [[], { all: ['a', 'b', 'a'], any: [] }, ['a', 'b']],
  [['b'], { all: [], any: ['a', 'b'] }, []],
  [['c'], { all: [], any: ['a', 'b'] }, ['a', 'b']],
  [['a'], { all: ['a'], any: ['b', 'c'] }, ['b', 'c']],
  [['b'], { all: ['a'], any: ['b', 'c'] }, ['a']],
  [[], { all: ['a'], any: ['a', 'b'] }, ['a', 'b']],
  [[], { all: [], any: [] }, []],
])('of the flags %j the requirement %j misses %j', (flags, requirement, missing) => {
  expect(missingFlags(flags, requirement)).toEqual(missing)
})

test('granting what is missing allows, and a flag more never refuses', () => {
  const flags = fc.array(fc.constantFrom('a', 'b', 'c', 'd'))
  fc.assert(
    fc.property(flags, flags, flags, flags, (held, all, any, more) => {
      const missing = missingFlags(held, { all, any })
      expect(missingFlags([...held, ...missing], { all, any })).toEqual([])
      if (missing.length === 0) expect(missingFlags([...held, ...more], { all, any })).toEqual([])
    }),
  )
})
