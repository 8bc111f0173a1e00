/**
 * Who may do what: every route of the OpenAPI document by every kind of actor, as a table that a reviewer reads
 * (`authorization.txt`). Each cell is what the control plane answered; writes are dry runs, with bodies that get as far as
 * the decision.
 *
 * If it differs on purpose, replace the table by the one that the failure shows as received.
 */
import { expect, test } from 'vitest'
import { createControl } from '../../../src/control/app.ts'
import { ROLES } from '../../../src/control/roles.ts'
import { bindings, type ControlUnderTest, setUp } from '../support/control.ts'
import table from './authorization.txt?raw'

const openApi = createControl().getOpenAPI31Document({ openapi: '3.1.0', info: { title: 't', version: '1' } })
const routes = Object.entries(openApi.paths ?? {}).flatMap(([path, methods]) =>
  Object.keys(methods as object).map((method) => ({
    method: method.toUpperCase(),
    path: path.replace('/api/v1', ''),
  })),
)

/** What a cell says of an answer; anything else is open, whatever the request then lacks. */
const MARKS: Record<string, string> = {
  unauthenticated: '401',
  person_gone: 'gone',
  role_missing: '.',
  environment_forbidden: 'env',
  person_required: 'person',
}

const LEGEND = `Who may call what. Columns: people by their one role; API keys by role, for all environments and for staging
only (approver: made by an earlier version); a person who has left, with every role; nobody. The routes are called about
production, where the policy requires one approval.

yes     may                        .       the role may not
env     not in this environment    person  takes a person
gone    has left                   401     no credentials
`

async function seed(control: ControlUnderTest) {
  await control.liveFlag('something')
  await control.organization('something')
  await control.must('POST', '/plans', { key: 'something', name: 'Something' })
  await control.must('PUT', '/policies/production', { approvals: 1 }, 1)
}

/** A request in review and a break-glass change, of people who are in no column; and a finding that nobody made. */
async function subjects(control: ControlUnderTest) {
  const as = async (sub: string, role: string, path: string, body: object) => {
    const token = await control.operators.token({ roles: [role], sub }, control.clock.now)
    const headers = { authorization: `Bearer ${token}` }
    return (await control.call('POST', path, { role: null, headers, body: { reason: 'a test', ...body } }))
      .body.data
  }
  const grant = { environment: 'production', subject: { kind: 'org', id: 'something' }, flag: 'something' }
  const change = await as('edith', 'editor', '/grants', {
    ...{ ...grant, source: 'support', to: control.in(9) },
  })
  const glass = await as('gwen', 'break-glass', '/break-glass', { ...grant, ticket: 'INC-1' })
  await bindings.DB.prepare(
    `INSERT INTO findings (id, kind, severity, environment, evidence, first_seen, last_seen, updated_at, revision)
     VALUES ('owner_gone:something', 'owner_gone', 'metadata', 'production', '{}', '', '', '', 1)`,
  ).run()
  return { change, glass, grant }
}

test('every route by every kind of actor is as the table says', async () => {
  const control = await setUp({}, { seed })
  const { change, glass, grant } = await subjects(control)
  const bearer = async (token: Promise<string> | string) => ({ authorization: `Bearer ${await token}` })
  const key = async (role: string, environments: string[] | null) => {
    const body = { name: 'a key', owner: 'system:ci', role: role === 'approver' ? 'viewer' : role }
    const made = await control.must('POST', '/api-keys', { ...body, environments, ends_at: control.in(9) })
    await bindings.DB.prepare('UPDATE api_keys SET role = ? WHERE id = ?').bind(role, made.data.id).run()
    return bearer(made.secret)
  }
  await control.must('POST', '/people/user:left/leave', {})
  const another = { name: 'another', owner: 'system:x', role: 'viewer', ends_at: control.in(9) }
  const other = (await control.must('POST', '/api-keys', another)).data.id
  const token = (sub: string, roles: readonly string[]) =>
    bearer(control.operators.token({ roles, sub }, control.clock.now))
  const actors: [string, Record<string, string>][] = []
  for (const role of ROLES) actors.push([role, await token(`a-${role}`, [role])])
  for (const environments of [null, ['staging']]) {
    for (const role of ['viewer', 'editor', 'approver', 'admin']) {
      actors.push([`${environments ? 'staging' : 'key'}:${role}`, await key(role, environments)])
    }
  }
  actors.push(['left', await token('left', ROLES)], ['nobody', {}])

  const BODIES: Record<string, object> = {
    'PUT /flags/{flag}/rules/{environment}': { access: 'all' },
    'POST /grants': { ...grant, source: 'support', to: control.in(9) },
    'PUT /policies/{environment}': { approvals: 2 },
    'POST /changes': {
      items: [{ action: 'rule.set', input: { flag: 'something', environment: 'production', access: 'all' } }],
    },
    'POST /changes/{change}/approve': { digest: change.digest },
    'POST /break-glass': { ...grant, flag: 'something', effect: 'deny', ticket: 'INC-2' },
    'POST /drift/{finding}/accept': { until: control.in(9) },
    'POST /api-keys': { name: 'x', owner: 'system:x', role: 'viewer', ends_at: control.in(9) },
    'POST /flags': { key: 'new', name: 'New', kind: 'rollout', owner: 'o' },
    'POST /flags/{flag}/extend': { retire_by: control.in(9) },
    'POST /bootstrap': { subject: 'user:eve' },
    'PATCH /flags/{flag}': { name: 'Something else' },
    'POST /flags/{flag}/state': { state: 'retiring' },
    'PATCH /changes/{change}': { apply_at: null },
    'POST /promotions': { from: 'staging', to: 'production', flags: ['something'] },
  }
  /** The revisions that are there to be matched. */
  const REVISIONS: Record<string, number> = {
    'PATCH /flags/{flag}': 2,
    'POST /flags/{flag}/state': 2,
    'PUT /policies/{environment}': 2,
    'PUT /people/{subject}': 0,
    'PUT /mappings/{source}/{kind}/{external_id}': 0,
  }
  const concrete = (path: string) =>
    path
      .replace('{environment}', 'production')
      .replace('{change}', path.endsWith('/review') ? glass.id : change.id)
      .replace('{finding}', 'owner_gone:something')
      .replace('{key}', other)
      .replace('{grant}', glass.items[0].input.id)
      .replace('{subject}', 'user:somebody')
      .replace(/\{\w+\}/g, 'something')

  const rows: string[][] = [['', ...actors.map(([name]) => name)]]
  for (const { method, path } of routes) {
    const cells: string[] = []
    for (const [, headers] of actors) {
      const isRead = method === 'GET'
      const needsRevision = method === 'PUT' || method === 'PATCH' || path === '/flags/{flag}/state'
      const body = /\/(?:rebuild|replay|runs)$/.test(path)
        ? {}
        : { reason: 'a test', ...BODIES[`${method} ${path}`] }
      // A rebuild and a replay are no commands, and have no dry run.
      const dryRun = isRead || /rebuild|runs|replay|reconcile|bootstrap/.test(path) ? '' : '?dry_run=true'
      const ifMatch = `"${REVISIONS[`${method} ${path}`] ?? 1}"`
      const answer = await control.call(method, concrete(path) + dryRun, {
        ...{ role: null, headers: { ...headers, ...(needsRevision && { 'if-match': ifMatch }) } },
        ...(!isRead && { body }),
      })
      expect(answer.status, `${method} ${path}`).not.toBe(500)
      cells.push(MARKS[answer.body.code] ?? 'yes')
    }
    rows.push([`${method} ${path}`, ...cells])
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const received = `${LEGEND}\n${lines.join('\n')}\n`
  if (received !== table) console.log(received)
  expect(received).toBe(table)
}, 120_000)
