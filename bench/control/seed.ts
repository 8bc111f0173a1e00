/**
 * A control plane of some size in local D1: flags, organizations with contracts, grants, and an audit log whose chain is
 * real. Rows go in by SQL, as going through the API would take hours; the documents come from the rebuild.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { experimental_readRawConfig, getPlatformProxy } from 'wrangler'
import { PROJECT, wranglerSettings } from '../../dev/wrangler.ts'
import { apiKeyText, makeApiKey } from '../../src/control/auth/secrets.ts'
import { sha256Hex } from '../../src/control/canonical.ts'
import { NO_EFFECT } from '../../src/control/effects/summary.ts'
import { GENESIS, hashEntry, toRow } from '../../src/control/ledger/audit_chain.ts'

export interface Size {
  readonly flags: number
  readonly organizations: number
  readonly grants: number
  readonly auditRows: number
}

interface Statement {
  bind(...values: unknown[]): Statement
  run(): Promise<unknown>
}

interface Db {
  prepare(sql: string): Statement
}

const AT = '2026-01-01T00:00:00.000Z'
const END = '2027-06-01T00:00:00.000Z'
/** Rows of one statement. */
const STEP = 25_000

/** @returns an admin's API key */
export async function seedDatabase(persistTo: string, size: Size): Promise<string> {
  Object.assign(process.env, wranglerSettings(persistTo))
  const platform = await getPlatformProxy<{ DB: Db }>({
    configPath: await databaseOnly(persistTo),
    persist: { path: join(persistTo, 'v3') },
    envFiles: [],
    remoteBindings: false,
  })
  const db = platform.env.DB
  try {
    await seedCatalog(db, size.flags)
    await inSteps(size.organizations, (from, to) => seedOrganizations(db, from, to))
    await inSteps(size.grants, (from, to) => seedGrants(db, from, to, size))
    await seedAudit(db, size.auditRows)
    return await seedKey(db)
  } finally {
    await platform.dispose()
  }
}

/** The configuration without its Durable Objects, which only the Worker itself can have. */
async function databaseOnly(persistTo: string): Promise<string> {
  const { rawConfig } = experimental_readRawConfig({ config: join(PROJECT, 'wrangler.control.toml') })
  const { d1_databases, compatibility_date } = rawConfig
  const file = join(persistTo, 'wrangler.seed.json')
  await writeFile(file, JSON.stringify({ name: 'seed', d1_databases, compatibility_date }))
  return file
}

async function inSteps(count: number, step: (from: number, to: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += STEP) await step(from, Math.min(count, from + STEP))
}

const numbers = (from: number, to: number): string =>
  `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${to})`

async function seedCatalog(db: Db, flags: number): Promise<void> {
  await db
    .prepare(
      `INSERT INTO flags (key, name, description, kind, owner, tags, state, no_plan_reason, review_every_days,
         extensions, created_at, updated_at, revision)
       ${numbers(0, flags)}
       SELECT printf('flag-%04d', i), 'Flag ' || i, 'A capability that customers pay for.', 'entitlement',
         'team-' || (i % 20), '["seeded"]', 'live', 'seeded', 90, 0, '${AT}', '${AT}', 1 FROM n`,
    )
    .run()
  for (const environment of ['staging', 'production']) {
    await db
      .prepare(
        `INSERT INTO rules (flag, environment, access, percentage, killed, updated_at, revision)
         ${numbers(0, flags)}
         SELECT printf('flag-%04d', i), '${environment}', 'some', CASE WHEN i % 10 = 0 THEN 25 END, 0, '${AT}', 1 FROM n`,
      )
      .run()
  }
  for (const [index, plan] of ['starter', 'team', 'enterprise'].entries()) {
    const held = JSON.stringify(
      Array.from({ length: (flags * (index + 1)) / 10 }, (_, i) => `flag-${String(i).padStart(4, '0')}`),
    )
    await db
      .prepare(
        `INSERT INTO plans (key, name, description, flags, grace_days, created_at, updated_at, revision)
         VALUES (?, ?, '', ?, 7, '${AT}', '${AT}', 1)`,
      )
      .bind(plan, plan, held)
      .run()
  }
}

async function seedOrganizations(db: Db, from: number, to: number): Promise<void> {
  await db
    .prepare(
      `INSERT INTO organizations (id, name, not_before, created_at, updated_at, revision) ${numbers(from, to)}
       SELECT printf('org_%06d', i), 'Organization ' || i, 0, '${AT}', '${AT}', 1 FROM n`,
    )
    .run()
  await db
    .prepare(
      `INSERT INTO contracts (id, org, plan, status, "from", "to", grace_until, "add", source, updated_at, revision)
       ${numbers(from, to)}
       SELECT printf('C-%06d', i), printf('org_%06d', i),
         CASE i % 3 WHEN 0 THEN 'starter' WHEN 1 THEN 'team' ELSE 'enterprise' END,
         'active', '${AT}', '${END}', NULL, '[]', 'crm', '${AT}', 1 FROM n`,
    )
    .run()
}

const seedGrants = (db: Db, from: number, to: number, size: Size): Promise<unknown> =>
  db
    .prepare(
      `INSERT INTO grants (id, environment, subject_kind, subject_id, flag, effect, source, reason, ticket, "from", "to",
         created_by, created_at, updated_at, revision)
       ${numbers(from, to)}
       SELECT printf('grant_%07d', i), 'production', 'org', printf('org_%06d', i % ${size.organizations}),
         printf('flag-%04d', (i * 7 + i / ${size.organizations}) % ${size.flags}), 'allow', 'beta', 'pilot', NULL,
         '${AT}', '${END}', 'user:seed', '${AT}', '${AT}', 1 FROM n`,
    )
    .run()

async function seedAudit(db: Db, count: number): Promise<void> {
  let prev = GENESIS
  let rows: unknown[] = []
  for (let seq = 1; seq <= count; seq++) {
    const flag = `flag-${String(seq % 1000).padStart(4, '0')}`
    const rule = { flag, environment: 'production', access: 'some', percentage: null, killed: false }
    const entry = {
      seq,
      at: AT,
      actor: 'user:seed',
      api_key: null,
      action: 'rule.set',
      entity: `rule:production:${flag}`,
      environment: 'production',
      flag,
      org: null,
      user: null,
      before: { ...rule, revision: 1, updated_at: AT },
      after: { ...rule, revision: 2, updated_at: AT },
      effect: NO_EFFECT,
      reason: 'seeded',
      ticket: null,
      request_id: `seed-${seq}`,
      change: null,
      on_behalf_of: null,
      prev,
    }
    prev = await hashEntry(entry)
    rows.push(Object.values(toRow({ ...entry, hash: prev })))
    if (rows.length === 500 || seq === count) {
      const columns = Object.keys(entry).concat('hash')
      const values = columns.map((_, index) => `json_extract(value, '$[${index}]')`)
      await db
        .prepare(
          `INSERT INTO audit (${columns.map((name) => `"${name}"`).join(', ')})
           SELECT ${values.join(', ')} FROM json_each(?)`,
        )
        .bind(JSON.stringify(rows))
        .run()
      rows = []
    }
  }
}

async function seedKey(db: Db): Promise<string> {
  const key = makeApiKey()
  await db
    .prepare(
      `INSERT INTO api_keys (id, name, owner, role, secret_hash, created_at, updated_at, ends_at, revision)
       VALUES (?, 'bench', 'system:bench', 'admin', ?, ?, ?, ?, 1)`,
    )
    .bind(key.id, await sha256Hex(key.secret), AT, AT, '2099-01-01T00:00:00.000Z')
    .run()
  return apiKeyText(key)
}
