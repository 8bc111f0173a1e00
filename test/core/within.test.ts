import { expect, test } from 'vitest'
import { within } from '../../src/core/within.ts'

const never = new Promise<string>(() => {})

test.each([
  ['a promise that is in time', Promise.resolve('done'), 'done'],
  ['a value', 'done', 'done'],
  ['work that takes longer', never, undefined],
])('%s', async (_, work, result) => {
  expect(await within(5, work)).toBe(result)
})

test('what the work throws in time is thrown', async () => {
  await expect(within(1000, Promise.reject(new Error('broken')))).rejects.toThrow('broken')
})

test('what it throws too late is nobody’s, and no unhandled rejection', async () => {
  const late = Promise.withResolvers<string>()
  expect(await within(1, late.promise)).toBeUndefined()
  late.reject(new Error('too late'))
  await expect(late.promise).rejects.toThrow('too late')
})
