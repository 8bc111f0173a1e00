import { describe, expect, test } from 'vitest'
import { bucket, murmur3 } from '../../src/core/bucket.ts'

const hashOf = (text: string, seed?: number) => murmur3(new TextEncoder().encode(text), seed)

describe('MurmurHash3 x86 32 gives the published values', () => {
  test.each([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['hello', 0, 0x248bfa47],
    ['hello, world', 0, 0x149bbb7f],
    ['Hello, world!', 0, 0xc0363e43],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['aaa', 0x9747b28c, 0x283e0130],
    ['aa', 0x9747b28c, 0x5d211726],
    ['a', 0x9747b28c, 0x7fa09ea6],
    ['abcd', 0x9747b28c, 0xf0478627],
    ['abc', 0x9747b28c, 0xc84a62dd],
    ['ab', 0x9747b28c, 0x74875592],
    ['ππππππππ', 0x9747b28c, 0xd58063c1],
    ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ])('%j with seed %d', (text, seed, hash) => {
    expect(hashOf(text, seed)).toBe(hash)
  })

  test.each([
    [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
    [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
    [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
    [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
    [[0x21, 0x43], 0, 0xa0f7b07a],
    [[0x21], 0, 0x72661cf4],
    [[0, 0, 0, 0], 0, 0x2362f9de],
    [[0, 0, 0], 0, 0x85f0b427],
    [[0, 0], 0, 0x30f4c306],
    [[0], 0, 0x514e28b7],
  ])('bytes %j with seed %d', (bytes, seed, hash) => {
    expect(murmur3(new Uint8Array(bytes), seed)).toBe(hash)
  })
})

test('a view into a larger buffer is hashed by its own bytes', () => {
  const bytes = new TextEncoder().encode('xhellox')
  expect(murmur3(bytes.subarray(1, 6))).toBe(0x248bfa47)
})

test('a place is in [0, 100), the same each time, and another for another flag', () => {
  const places = Array.from({ length: 1000 }, (_, i) => bucket('new-editor', `org_${i}`))
  expect(places.every((place) => place >= 0 && place < 100)).toBe(true)
  expect(bucket('new-editor', 'org_7')).toBe(places[7])
  expect(bucket('other', 'org_7')).not.toBe(places[7])
})

test('subjects spread evenly: each tenth of 20,000 holds a tenth, give or take a twentieth of it', () => {
  const tenths = new Array<number>(10).fill(0)
  for (let i = 0; i < 20_000; i++) {
    const tenth = Math.floor(bucket('new-editor', `org_${i}`) / 10)
    tenths[tenth] = (tenths[tenth] ?? 0) + 1
  }
  for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(150)
})
