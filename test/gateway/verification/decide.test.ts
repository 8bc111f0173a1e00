import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decide } from '../../../src/gateway/verification/decide.ts'

test.each([
  [['a', 'b'], { all: ['a'], any: [] }, true, []],
  [['a', 'b'], { all: ['a', 'b'], any: [] }, true, []],
  [['a'], { all: ['a', 'b'], any: [] }, false, ['b']],
  [[], { all: ['a', 'b', 'a'], any: [] }, false, ['a', 'b']],
  [['b'], { all: [], any: ['a', 'b'] }, true, []],
  [['c'], { all: [], any: ['a', 'b'] }, false, ['a', 'b']],
  [['a'], { all: ['a'], any: ['b', 'c'] }, false, ['b', 'c']],
  [['b'], { all: ['a'], any: ['b', 'c'] }, false, ['a']],
  [[], { all: ['a'], any: ['a', 'b'] }, false, ['a', 'b']],
  [[], { all: [], any: [] }, true, []],
])('flags %j and the requirement %j: allowed %s, missing %j', (flags, requirement, allowed, missing) => {
  const reason = allowed ? 'allowed' : 'feature_missing'
  expect(decide(flags, requirement)).toEqual({ allowed, reason, missing })
})

test('granting what is missing allows, and a flag more never refuses', () => {
  const flags = fc.array(fc.constantFrom('a', 'b', 'c', 'd'))
  fc.assert(
    fc.property(flags, flags, flags, flags, (held, all, any, more) => {
      const { allowed, missing } = decide(held, { all, any })
      expect(decide([...held, ...missing], { all, any }).allowed).toBe(true)
      if (allowed) expect(decide([...held, ...more], { all, any }).allowed).toBe(true)
    }),
  )
})
