/** Who may accept a finding: where changes require approval, a person, and nobody whose own edit it is. */
import { expect, test } from 'vitest'
import { setUpDrift } from './support.ts'

type Drift = Awaited<ReturnType<typeof setUpDrift>>

const tokenOf = (drift: Drift, sub: string) =>
  drift.operators.token({ roles: ['editor'], sub }, drift.clock.now)

const post = (drift: Drift, bearer: string, path: string, body: object) =>
  drift.call('POST', path, {
    ...{ role: null, headers: { authorization: `Bearer ${bearer}` } },
    body: { reason: 'a test', ...body },
  })

const makeKey = async (drift: Drift, owner: string) => {
  const body = { name: 'a key', owner, role: 'editor', ends_at: drift.in(300) }
  return (await drift.must('POST', '/api-keys', body)).secret as string
}

/** A grant without a ticket by somebody, found by a pass, after which production's policy requires approval. */
async function withFinding(by: (drift: Drift) => Promise<string>, approvals = 1) {
  const drift = await setUpDrift()
  await drift.liveFlag('reports')
  await drift.organization('org_a')
  const made = await post(drift, await by(drift), '/grants', {
    ...{ environment: 'production', subject: { kind: 'org', id: 'org_a' }, flag: 'reports' },
    ...{ source: 'override', to: drift.in(90) },
  })
  expect(made.status).toBe(201)
  await drift.must('PUT', '/policies/production', { approvals }, 1)
  await drift.pass()
  const [found, ...others] = (await drift.get('/drift?kind=override_ended_or_unticketed')).body.data
  expect(others).toEqual([])
  const accept = (bearer: string) =>
    post(drift, bearer, `/drift/${encodeURIComponent(found.id)}/accept`, { until: drift.in(30) })
  return { drift, accept }
}

test.each(['edith', 'EDITH'])(
  '%s does not accept the drift of edith’s own edit; somebody else does',
  async (name) => {
    const { drift, accept } = await withFinding((drift) => tokenOf(drift, 'edith'))
    const own = await accept(await tokenOf(drift, name))
    expect([own.status, own.body.code]).toEqual([403, 'own_drift'])
    expect((await drift.auditRows()).filter(({ action }) => action === 'finding.accept')).toEqual([])
    expect((await accept(await tokenOf(drift, 'ben'))).body.data.accepted_by).toBe('user:ben')
  },
)

test.each(['owner', 'admin'])('nor does the %s of the key that made it', async (name) => {
  const { drift, accept } = await withFinding((drift) => makeKey(drift, 'user:owner'))
  expect((await accept(await tokenOf(drift, name))).body.code).toBe('own_drift')
  expect((await accept(await tokenOf(drift, 'ben'))).status).toBe(200)
})

test('a key accepts nothing there', async () => {
  const { drift, accept } = await withFinding((drift) => tokenOf(drift, 'edith'))
  expect((await accept(await makeKey(drift, 'system:ci'))).body.code).toBe('person_required')
})

test('where no approval is required, everybody may', async () => {
  const { drift, accept } = await withFinding((drift) => tokenOf(drift, 'edith'), 0)
  expect((await accept(await tokenOf(drift, 'edith'))).status).toBe(200)
  expect((await accept(await makeKey(drift, 'system:ci'))).status).toBe(200)
})
