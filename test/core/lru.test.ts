import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LruMap } from '../../src/core/lru.ts'

test('what was used least recently is forgotten first', () => {
  const map = new LruMap<string, number>(2)
  map.set('a', 1)
  map.set('b', 2)
  expect(map.get('a')).toBe(1)
  map.set('c', 3)
  expect([map.get('a'), map.get('b'), map.get('c')]).toEqual([1, undefined, 3])
})

test('setting a key again is a use of it, and replaces its value', () => {
  const map = new LruMap<string, number>(2)
  map.set('a', 1)
  map.set('b', 2)
  map.set('a', 10)
  map.set('c', 3)
  expect([map.get('a'), map.get('b'), map.size]).toEqual([10, undefined, 2])
})

test('what is deleted is gone', () => {
  const map = new LruMap<string, number>(2)
  map.set('a', 1)
  map.delete('a')
  expect([map.get('a'), map.size]).toEqual([undefined, 0])
})

test('it never holds more than its capacity, and always what was set last', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(9)), (capacity, keys) => {
      const map = new LruMap<number, string>(capacity)
      for (const key of keys) {
        map.set(key, String(key))
        expect(map.size).toBeLessThanOrEqual(capacity)
        expect(map.get(key)).toBe(String(key))
      }
    }),
  )
})
