/** An exported file of contracts, as the pages that are sent: nothing is on two of them, and none is left out. */
import { expect, test } from 'vitest'
import { pagesOf } from '../../../dev/reconcile/list.ts'

const entry = (contract: string, padding = 0) => ({ contract, org: 'org_a', note: 'x'.repeat(padding) })

test.each([
  ['an array', JSON.stringify([entry('C-2'), entry('C-1')])],
  ['lines', `${JSON.stringify(entry('C-2'))}\n\n${JSON.stringify(entry('C-1'))}\n`],
])('%s is sorted by number', (_, text) => {
  expect(pagesOf(text)).toEqual([{ entries: [entry('C-1'), entry('C-2')], last: true }])
})

test.each([
  [{ contract: 'C-1' }, 'C-1'],
  [{ specversion: '1.0', id: 'evt-1', data: { contract: 'C-1' } }, 'C-1'],
  [{ id: 'sub_1', object: 'subscription' }, 'sub_1'],
])('%j is known by %s', (one, number) => {
  const pages = pagesOf(JSON.stringify([one, { contract: number }]))
  expect(pages).toBe(`${number} is in the file twice.`)
})

test('an entry without a number is named', () => {
  expect(pagesOf('[{"contract":"C-1"},{"org":"org_a"}]')).toBe(
    'Entry 2 has no contract number: it needs contract, data.contract or id.',
  )
})

test('no list is one page: everything has ended', () => {
  expect(pagesOf('[]')).toEqual([{ entries: [], last: true }])
})

test.each([
  ['many', 250, 0],
  ['large', 20, 8_000],
])('%s entries are several pages, each after the one before', (_, count, padding) => {
  const all = Array.from({ length: count }, (_, index) => entry(`C-${1000 + index}`, padding))
  const pages = pagesOf(JSON.stringify(all.toReversed()))
  if (typeof pages === 'string') throw new Error(pages)
  expect(pages.length).toBeGreaterThan(1)
  expect(pages.flatMap(({ entries }) => entries)).toEqual(all)
  expect(pages.map(({ last }) => last)).toEqual(pages.map((_, index) => index === pages.length - 1))
  for (const [index, { after }] of pages.entries()) {
    const before = pages[index - 1]?.entries.at(-1) as { contract: string } | undefined
    expect(after).toBe(before?.contract)
  }
})
