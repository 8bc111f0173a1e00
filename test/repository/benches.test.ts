/** A bench that measures nothing is found: by what its figures are, and as every bench is run in its short form by the gate. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { implausible, RATIO } from '../../bench/plausible.ts'

const BOUNDS = { ratio: RATIO, cost: { atLeast: 1, atMost: 1_000 } }
const GOOD = { ratio: [0.5, 0.6], cost: 340 }

describe('figures', () => {
  test('that are there and within wide bounds are plausible', () => {
    expect(implausible(GOOD, BOUNDS)).toEqual([])
    expect(implausible({ ...GOOD, another: Number.NaN }, BOUNDS)).toEqual([])
  })

  test.each<[string, Record<string, number | number[] | undefined>, string[]]>([
    ['is missing', { ratio: 0.5 }, ['cost: was not measured']],
    ['has no round', { ...GOOD, ratio: [] }, ['ratio: was not measured']],
    ['is not a number', { ...GOOD, cost: Number.NaN }, ['cost: NaN is not within 1 and 1000']],
    [
      'is without end',
      { ...GOOD, cost: Number.POSITIVE_INFINITY },
      ['cost: Infinity is not within 1 and 1000'],
    ],
    ['is zero', { ...GOOD, ratio: [0.5, 0] }, ['ratio: 0 is not within 0.01 and 100']],
    ['is negative', { ...GOOD, cost: -3 }, ['cost: -3 is not within 1 and 1000']],
    ['is far too large', { ...GOOD, ratio: 1e6 }, ['ratio: 1000000 is not within 0.01 and 100']],
  ])('of which one %s are not', (_, figures, problems) => {
    expect(implausible(figures, BOUNDS)).toEqual(problems)
  })
})

test('every bench is run by the gate, in its short form', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  const benches = Object.keys(scripts).filter((name) => name === 'bench' || name.startsWith('bench:'))
  expect(benches.length).toBeGreaterThan(2)
  const gate = readFileSync('.ci/run', 'utf8')
  expect(benches.filter((name) => !gate.includes(`npm run ${name} -- --short`))).toEqual([])
})

test('every result that is kept is written with its commit and its machine', () => {
  const writers = ['bench/report.ts', 'bench/control/run.ts', 'bench/mint_log.ts']
  expect(readdirSync('bench').filter((file) => file.endsWith('.json'))).toHaveLength(writers.length)
  for (const file of writers) expect(readFileSync(file, 'utf8')).toContain('...provenance()')
})
