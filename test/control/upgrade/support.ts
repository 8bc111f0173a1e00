/**
 * A deployment of an earlier version, upgraded: its D1 and KV (`test/fixtures/upgrade`) under the present migrations and
 * the present code, on the test's clock. The inbox and the scheduler run outside their Durable Objects, which would live
 * by the real one.
 */
import { applyD1Migrations, reset } from 'cloudflare:test'
import { COMMANDS } from '../../../src/control/app.ts'
import { Scheduler } from '../../../src/control/change_requests/scheduler.ts'
import { parseConfig } from '../../../src/control/config.ts'
import { denySession } from '../../../src/control/contract_sync/inbox/deny.ts'
import { Inbox } from '../../../src/control/contract_sync/inbox/inbox.ts'
import { configureSources } from '../../../src/control/contract_sync/sources/index.ts'
import { connect } from '../../../src/control/db/client.ts'
import type { Role } from '../../../src/control/roles.ts'
import database from '../../fixtures/upgrade/database.sql?raw'
import published from '../../fixtures/upgrade/kv.json?raw'
import { setUpDrift } from '../drift/support.ts'
import { type Answer, bindings } from '../support/control.ts'
import { openLedger } from '../support/ledger.ts'

/** The morning after. */
export const NOW = Date.parse('2026-11-25T06:00:00.000Z')

/** Each of them as at the time of the fixture. */
const ROLES = {
  ada: ['admin'],
  ben: ['approver'],
  cleo: ['editor'],
  dan: ['break-glass'],
  eva: ['viewer'],
  finn: ['editor', 'approver'],
} satisfies Record<string, Role[]>

/** Runs the statements of a dump, in order. */
async function load(): Promise<void> {
  await reset()
  const statements = database.split(/;\n(?:--> statement-breakpoint\n)?/).filter((sql) => sql !== '')
  await bindings.DB.batch(statements.map((sql) => bindings.DB.prepare(sql)))
  for (const [key, text] of Object.entries(JSON.parse(published))) {
    await bindings.ENTITLEMENTS.put(key, String(text))
  }
}

export async function upgrade() {
  const { db } = connect(bindings.DB)
  const parsed = parseConfig(bindings)
  if (!parsed.ok) throw new Error(parsed.problems.join('\n'))
  const { sources } = configureSources(
    { ...bindings },
    { environments: ['staging', 'production'], fetcher: fetch },
  )
  const clock = () => control.clock.now
  const options = { db, clock, ledger: openLedger(clock), commands: COMMANDS }
  const inbox = new Inbox({
    ...options,
    deny: (environment, sid) => denySession(bindings.ENTITLEMENTS, environment, sid, clock()),
    sources,
  })
  const control = await setUpDrift({ overrides: { INBOX: { getByName: () => inbox } } })
  await load()
  await applyD1Migrations(bindings.DB, bindings.MIGRATIONS)
  control.clock.now = NOW
  const failures: string[] = []
  const scheduler = new Scheduler({ ...options, statements: () => 0, warn: (event) => failures.push(event) })

  async function as(person: keyof typeof ROLES, method: string, path: string, body?: object) {
    const token = await control.operators.token({ roles: ROLES[person], sub: person }, clock())
    return asBearer(token, method, path, body)
  }

  const asBearer = (bearer: string, method: string, path: string, body?: object): Promise<Answer> =>
    control.call(method, path, {
      ...{ role: null, headers: { authorization: `Bearer ${bearer}` } },
      ...(body && { body: { reason: 'After the upgrade', ...body } }),
    })

  /** A change request of the fixture, by its reason. */
  async function change(reason: string) {
    const row = await bindings.DB.prepare('SELECT id FROM change_requests WHERE reason = ?')
      .bind(reason)
      .first<{ id: string }>()
    return (await control.get(`/changes/${row?.id}`)).body
  }

  return {
    ...control,
    as,
    asBearer,
    change,
    scheduler,
    failures,
    /** What an organization has now. */
    on: async (org: string): Promise<string[]> => {
      const { body } = await control.get(`/orgs/${org}/entitlements?environment=production`)
      return body.flags.filter(({ on }: { on: boolean }) => on).map(({ flag }: { flag: string }) => flag)
    },
  }
}

export type Upgraded = Awaited<ReturnType<typeof upgrade>>

/** Leaves the database as other test files expect it: empty, with the present tables. */
export async function leave(): Promise<void> {
  await reset()
  await applyD1Migrations(bindings.DB, bindings.MIGRATIONS)
}
