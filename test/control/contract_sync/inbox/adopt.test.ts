/** Contracts of a version that did not keep what sources say: their words are found in the events that are kept. */
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { misderived } from '../../../../src/control/contract_sync/rederive.ts'
import { connect } from '../../../../src/control/db/client.ts'
import { bindings, type ControlUnderTest, setUp } from '../../support/control.ts'
import {
  type Act,
  agreed,
  begin,
  changed,
  edited,
  has,
  mapped,
  startOver,
  subscribed,
  tell,
} from '../stories.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  await begin(control)
})
beforeEach(startOver)

const AT = 1_795_000_000
const older = () => bindings.DB.exec('DELETE FROM agreements')
const agreements = async () =>
  (await bindings.DB.prepare('SELECT contract, external_id, revision, whole FROM agreements').all()).results

/** After an upgrade, the object of the inbox is a new one; this one has looked already. */
async function upgraded(acts: readonly Act[]) {
  await tell(control, acts)
  await older()
  const { adopt } = await import('../../../../src/control/contract_sync/inbox/adopt.ts')
  const { configureSources } = await import('../../../../src/control/contract_sync/sources/index.ts')
  const { sources } = configureSources(control.environment, {
    environments: ['staging', 'production'],
    fetcher: fetch,
  })
  return adopt(connect(bindings.DB).db, sources, Date.now(), 10)
}

test('the last event about a contract says it, and the source’s next message counts', async () => {
  expect(await upgraded([agreed('C-1', 'org_a', 1), agreed('C-1', 'org_a', 2, { plan: 'enterprise' })])).toBe(
    1,
  )
  expect(await agreements()).toEqual([{ contract: 'C-1', external_id: 'C-1', revision: 2, whole: 1 }])
  expect(await has(control, 'org_a')).toBe('reports sso')
  await tell(control, [
    edited('C-1', 'org_a', { plan: 'team', status: 'active', revision: 3, source: 'standard' }),
    agreed('C-1', 'org_a', 3, { status: 'cancelled' }),
  ])
  expect(await has(control, 'org_a')).toBe('')
})

test('where the last event was a change, the rows say it', async () => {
  expect(await upgraded([agreed('C-1', 'org_a', 1), changed('C-1', 2, { add: ['scim'] })])).toBe(1)
  await tell(control, [changed('C-1', 3, { remove: ['scim'] })])
  expect(await has(control, 'org_a')).toBe('reports')
})

test('a mapping that was corrected before is found by drift, and moves the contract when somebody says so', async () => {
  const bought = [mapped('stripe/org/cus_1', 'org_a'), subscribed('sub_1', { at: AT, prices: ['price_ent'] })]
  await upgraded(bought)
  await bindings.DB.exec(
    `UPDATE mappings SET target = 'team', updated_at = '2999-01-01T00:00:00.000Z' WHERE external_id = 'price_ent'`,
  )
  expect(await misderived(connect(bindings.DB).db, ['org_a'], Date.now())).toMatchObject([
    { contract: 'sub_1' },
  ])
  await control.must('POST', '/contracts/sub_1/derive', {})
  expect(await has(control, 'org_a')).toBe('reports')
})

test('what people made here is nobody’s word', async () => {
  const person = edited('C-9', 'org_a', { plan: 'team', status: 'active', revision: 1 })
  expect(await upgraded([person])).toBe(0)
})
