/**
 * Any sequence of commands: after publishing, and again after a rebuild into an empty namespace, the documents are the
 * projection of the rows, and the audit chain verifies. And what the effective diff said is what explain shows before and
 * after.
 */
import { runDurableObjectAlarm } from 'cloudflare:test'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'

const ENVIRONMENTS = ['staging', 'production'] as const
const FLAGS = ['a', 'b']
const ORGANIZATIONS = ['org_1', 'org_2', 'org_3']
const USERS = ['u_1']

type Body = Record<string, unknown>
interface Call {
  readonly method: string
  readonly path: string
  readonly body: Body
  readonly ifMatch?: string
}

const flag = fc.constantFrom(...FLAGS)
const org = fc.constantFrom(...ORGANIZATIONS)
const environment = fc.constantFrom(...ENVIRONMENTS)
const far = new Date(Date.now() + 100 * 86_400_000).toISOString()
const past = '2026-01-01T00:00:00.000Z'

const commands: fc.Arbitrary<Call> = fc.oneof(
  fc
    .record({
      flag,
      environment,
      access: fc.constantFrom('none', 'some', 'all'),
      percentage: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }),
    })
    .map(({ flag, environment, ...body }) => ({
      ...{ method: 'PUT', path: `/flags/${flag}/rules/${environment}`, body },
      ifMatch: `/flags/${flag}/rules/${environment}`,
    })),
  fc
    .record({ flag, environment, verb: fc.constantFrom('kill', 'revive') })
    .map(({ flag, environment, verb }) => ({
      ...{ method: 'POST', path: `/flags/${flag}/rules/${environment}/${verb}`, body: {} },
    })),
  fc.record({ flag, state: fc.constantFrom('live', 'retiring', 'retired') }).map(({ flag, state }) => ({
    ...{ method: 'POST', path: `/flags/${flag}/state`, body: { state }, ifMatch: `/flags/${flag}` },
  })),
  fc
    .record({
      environment,
      flag,
      subject: fc.oneof(
        org.map((id) => ({ kind: 'org', id })),
        fc.constantFrom(...USERS).map((id) => ({ kind: 'user', id })),
      ),
      effect: fc.constantFrom('allow', 'deny'),
      source: fc.constantFrom('beta', 'override'),
    })
    .map((body) => ({ method: 'POST', path: '/grants', body: { ...body, to: far } })),
  fc.constant({ method: 'POST', path: 'revoke-any', body: {} }),
  fc
    .record({
      org,
      plan: fc.constantFrom('team', null),
      status: fc.constantFrom('active', 'cancelled', 'past_due'),
      add: fc.uniqueArray(flag),
      revision: fc.integer({ min: 1, max: 9 }),
    })
    .map(({ org, ...body }) => ({
      ...{ method: 'PUT', path: `/orgs/${org}/contracts/C-${org}`, body: { ...body, from: past } },
    })),
  fc.uniqueArray(flag).map((flags) => ({
    ...{ method: 'PATCH', path: '/plans/team', body: { flags }, ifMatch: '/plans/team' },
  })),
)

async function give(control: ControlUnderTest, call: Call) {
  const { method, body } = call
  let { path } = call
  if (path === 'revoke-any') {
    const active = (await control.get('/grants?active=true')).body.data
    if (active.length === 0) return undefined
    path = `/grants/${active[0].id}/revoke`
  }
  const revision = call.ifMatch && (await control.get(call.ifMatch)).body.revision
  return control.call(method, path, {
    body: { ...body, reason: 'any' },
    ...(typeof revision === 'number' && { ifMatch: revision }),
  })
}

/** Which organization has what, as explain says. */
async function entitled(control: ControlUnderTest): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>()
  for (const environment of ENVIRONMENTS) {
    for (const id of ORGANIZATIONS) {
      const { body } = await control.get(`/orgs/${id}/entitlements?environment=${environment}`)
      const on = body.flags.filter((flag: { on: boolean }) => flag.on)
      found.set(
        `${environment} ${id}`,
        on.map((flag: { flag: string }) => flag.flag),
      )
    }
  }
  return found
}

function differences(
  before: Map<string, readonly string[]>,
  after: Map<string, readonly string[]>,
): string[] {
  return [...after].flatMap(([who, has]) => {
    const had = before.get(who) ?? []
    return [
      ...has.filter((flag) => !had.includes(flag)).map((flag) => `${who} +${flag}`),
      ...had.filter((flag) => !has.includes(flag)).map((flag) => `${who} -${flag}`),
    ]
  })
}

interface Told {
  readonly environment: string
  readonly flag: string
  readonly at: string | null
  readonly gained: { readonly organizations: { readonly ids: string[] } }
  readonly lost: { readonly organizations: { readonly ids: string[] } }
}

const told = (changes: readonly Told[]): string[] =>
  changes
    .filter(({ at }) => at === null)
    .flatMap(({ environment, flag, gained, lost }) => [
      ...gained.organizations.ids.map((id) => `${environment} ${id} +${flag}`),
      ...lost.organizations.ids.map((id) => `${environment} ${id} -${flag}`),
    ])

async function documents(): Promise<Map<string, string | null>> {
  const { keys } = await bindings.ENTITLEMENTS.list()
  const texts = await Promise.all(keys.map(({ name }) => bindings.ENTITLEMENTS.get(name)))
  return new Map(keys.map(({ name }, index) => [name, texts[index] ?? null]))
}

async function rebuild(control: ControlUnderTest): Promise<void> {
  for (const name of ENVIRONMENTS) {
    await control.call('POST', `/publishing/${name}/rebuild`, { body: {} })
    const stub = bindings.PUBLISHER.getByName(name)
    while ((await stub.progress(name))?.finished_at === null) {
      await runDurableObjectAlarm(stub)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

async function seed(control: ControlUnderTest): Promise<void> {
  for (const key of FLAGS) await control.liveFlag(key)
  await control.must('POST', '/plans', { key: 'team', name: 'Team', flags: ['a'] })
  for (const id of ORGANIZATIONS) await control.organization(id)
}

test('any accepted commands, published and rebuilt, are the projection, and the chain verifies', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(commands, { minLength: 4, maxLength: 12 }), async (calls) => {
      const control = await setUp({}, { seed })
      for (const call of calls) {
        control.clock.now += 1_000
        const answer = await give(control, call)
        expect(answer?.status ?? 200).toBeLessThan(500)
      }
      await control.published()
      const published = await documents()
      for (const key of published.keys()) await bindings.ENTITLEMENTS.delete(key)
      await rebuild(control)
      expect(await documents()).toEqual(published)
      const { body } = await control.get('/audit/verify')
      expect(body).toMatchObject({ intact: true, head: { seq: (await control.auditRows()).length } })
    }),
    { numRuns: 6, endOnFailure: true },
  )
}, 120_000)

test('the effective diff of any command is what explain shows before and after', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(commands, { minLength: 6, maxLength: 12 }), async (calls) => {
      const control = await setUp({}, { seed })
      for (const call of calls) {
        const before = await entitled(control)
        const answer = await give(control, call)
        const expected = answer && answer.status < 300 ? told(answer.body.effect.changes) : []
        expect(differences(before, await entitled(control)).sort()).toEqual(expected.sort())
      }
    }),
    { numRuns: 6, endOnFailure: true },
  )
}, 120_000)
