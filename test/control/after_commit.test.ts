/** What follows a commit: the publishers of what changed and the scheduler are woken, and none of them can fail it. */
import { expect, test } from 'vitest'
import { afterCommit } from '../../src/control/after_commit.ts'
import type { ControlBindings } from '../../src/control/config.ts'
import type { Edit } from '../../src/control/entities/edit.ts'

const APPLY_AT = '2027-01-01T00:00:00.000Z'
const request = (state: string, apply_at: string | null) =>
  ({ table: 'change_requests', before: null, after: { id: 'change_1', state, apply_at } }) as unknown as Edit

async function after(commit: { environments?: string[]; edits?: Edit[] }, broken = false) {
  const woken: string[] = []
  const work: Promise<unknown>[] = []
  const wake = async (what: string) => {
    if (broken) throw new Error('overloaded')
    woken.push(what)
  }
  const env = {
    PUBLISHER: { getByName: (name: string) => ({ publish: (of: string) => wake(`publish ${name} ${of}`) }) },
    SCHEDULER: { getByName: (name: string) => ({ wakeAt: (at: number) => wake(`${name} ${at}`) }) },
  } as unknown as ControlBindings
  const context = { waitUntil: (one: Promise<unknown>) => void work.push(one) }
  afterCommit(env, context)({ seq: 1, environments: [], edits: [], ...commit })
  return { woken, settled: await Promise.allSettled(work), started: work.length }
}

test.each([
  ['nothing changed in a document', {}, []],
  [
    'documents of two environments',
    { environments: ['staging', 'production'] },
    ['publish staging staging', 'publish production production'],
  ],
  [
    'a request that is scheduled',
    { edits: [request('scheduled', APPLY_AT)] },
    [`scheduler ${Date.parse(APPLY_AT)}`],
  ],
  ['a request that waits for approval', { edits: [request('in_review', APPLY_AT)] }, []],
  [
    'a request that was applied at its time',
    { edits: [request('applied', APPLY_AT)], environments: ['production'] },
    ['publish production production'],
  ],
])('%s', async (_, commit, expected) => {
  expect((await after(commit)).woken).toEqual(expected)
})

test('what cannot be woken fails nothing', async () => {
  const { settled, started } = await after(
    { environments: ['production'], edits: [request('scheduled', APPLY_AT)] },
    true,
  )
  expect(started).toBe(2)
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
})
