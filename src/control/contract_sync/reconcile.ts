/**
 * Reconciliation: compares the current state of a source with the contracts here. Does I/O, through its parameters.
 *
 * Sources with an API are queried; for every other one, somebody sends a list. Events that were lost show as differences. They
 * are repaired like events, through the inbox, and only on request.
 */
import type { z } from '@hono/zod-openapi'
import { and, eq, gt, lte, sql } from 'drizzle-orm'
import { err, ok, type Result } from '../../core/result.ts'
import type { Actor } from '../auth/actor.ts'
import { sha256Hex } from '../canonical.ts'
import type { AgreementRow, ContractRow } from '../db/rows.ts'
import { agreements } from '../db/schema.ts'
import type { Control } from '../http/context.ts'
import { State } from '../ledger/state.ts'
import type { Refusal } from '../refusals.ts'
import { applyEvent } from './apply/apply.ts'
import { type ContractEvent, isContractEvent } from './events.ts'
import { keep } from './inbox/keep.ts'
import { RECONCILED } from './inbox/parse.ts'
import { Known } from './known.ts'
import type { reconciliationBody, reconciliationSchema } from './reconcile_schemas.ts'
import { sourceNamed } from './sources/index.ts'
import type { Parsed, ReceivedEvent } from './sources/source.ts'

/** How many contracts that are in no list one call checks. */
const MAX_MISSING = 100

type Answer = z.input<typeof reconciliationSchema>
type Difference = Answer['differences'][number]
type Body = z.output<typeof reconciliationBody>

interface Page {
  readonly checked: number
  readonly entries: readonly { readonly about: string; readonly parsed: Parsed }[]
  readonly next: string | undefined
}

export async function reconcile(
  body: Body,
  control: Control,
  actor: Actor,
): Promise<Result<Answer, Refusal>> {
  if (actor.environments !== null) return err('environment_forbidden')
  const now = control.clock()
  const page = await pageOf(body, control, now)
  if (!page.ok) return page
  const differences: Difference[] = []
  for (const { about, parsed } of page.value.entries) {
    const difference = await compare(parsed, about, body.source, control, now)
    if (!difference) continue
    const repaired =
      body.apply &&
      difference.problem === null &&
      parsed.ok &&
      (await repair(parsed, about, body.source, control, actor, now))
    differences.push({ ...difference, repaired })
  }
  return ok({
    source: body.source,
    checked: page.value.checked,
    differences,
    next_cursor: page.value.next ?? null,
  })
}

async function pageOf(
  { source: name, cursor, list }: Body,
  control: Control,
  now: number,
): Promise<Result<Page, Refusal>> {
  const source = sourceNamed(control.sources, name)
  if (!source) return err('source_unknown')
  if (!list) return source.list ? source.list(cursor, now) : err('source_not_reconcilable')
  if (!source.fromList) return err('source_not_reconcilable')
  const entries = list.entries.map((entry) => {
    const parsed = source.fromList?.(entry, now) ?? err('unknown_type')
    return { about: numberOf(parsed) ?? 'unreadable', parsed }
  })
  const numbers = entries.map(({ about }) => about)
  if (numbers.some((number, index) => index > 0 && number <= (numbers[index - 1] ?? ''))) {
    return err('list_unordered')
  }
  const missing = await missingFrom(name, { after: list.after, last: list.last, numbers }, control, now)
  return ok({ checked: entries.length + missing.length, entries: [...entries, ...missing], next: undefined })
}

const numberOf = (parsed: Parsed): string | undefined =>
  parsed.ok ? parsed.value.find(isContractEvent)?.contract : parsed.ends?.contract

/** Contracts here that the source does not have: they have ended, and the event was lost. */
async function missingFrom(
  source: string,
  { after, last, numbers }: { after: string | undefined; last: boolean; numbers: readonly string[] },
  { db }: Control,
  now: number,
) {
  const until = numbers.at(-1)
  if (until === undefined && !last) return []
  const rows = await db
    .select()
    .from(agreements)
    .where(
      and(
        eq(agreements.source, source),
        after === undefined ? undefined : gt(agreements.external_id, after),
        last || until === undefined ? undefined : lte(agreements.external_id, until),
        sql`${agreements.external_id} NOT IN (SELECT value FROM json_each(${JSON.stringify(numbers)}))`,
        sql`EXISTS (SELECT 1 FROM contracts c WHERE (c.id = ${agreements.contract} OR c.id LIKE ${agreements.contract} || '~%')
              AND c.status IN ('trialing', 'active', 'past_due') AND (c."to" IS NULL OR c."to" > ${new Date(now).toISOString()}))`,
      ),
    )
    .limit(MAX_MISSING)
  return rows.map((row) => ({ about: row.external_id, parsed: ok([endOf(row)]) }))
}

/** The source's next revision still counts. */
const endOf = ({ source, system, external_id, revision }: AgreementRow): ContractEvent => ({
  type: 'contract.end',
  source,
  system,
  contract: external_id,
  revision,
  status: 'expired',
  missing: true,
})

const NOTHING = { here: [], there: [], detail: null, repaired: false } satisfies Partial<Difference>

/** What the event would change, beyond the revision. */
async function compare(
  parsed: Parsed,
  contract: string,
  source: string,
  control: Control,
  now: number,
): Promise<Difference | undefined> {
  const { db, config, commands: registry } = control
  if (!parsed.ok) return { ...NOTHING, contract, problem: parsed.reason, detail: parsed.detail ?? null }
  const actor = { id: 'system:inbox', roles: [], apiKey: null, environments: null, teams: [], people: [] }
  const state = new State(db)
  const facts = { state, head: 0, now, environments: config.environments, policies: [], actor }
  const event = await synthetic(parsed, contract, source, 'system:inbox', now)
  const verdict = await applyEvent(
    parsed,
    { event, known: new Known(state), now, passed: async () => undefined },
    { facts, registry },
  )
  if (verdict.state === 'superseded') return undefined
  const changed = verdict.steps.flatMap(({ edit }) =>
    edit.table === 'contracts' && !same(edit.before, edit.after) ? [edit] : [],
  )
  // Nothing is granted on either side.
  const nothing = parsed.value.every(
    (part) => part.type === 'entitlements.snapshot' && part.flags.length === 0,
  )
  if (nothing && changed.every(({ before }) => before === null)) return undefined
  if (verdict.problem !== null)
    return { ...NOTHING, contract, problem: verdict.problem, detail: verdict.detail }
  if (
    changed.every(({ before, after }) => before === null && after.plan === null && after.add.length === 0)
  ) {
    return undefined
  }
  return {
    ...NOTHING,
    contract,
    problem: null,
    here: changed.flatMap(({ before }) => (before ? [shown(before)] : [])),
    there: changed.map(({ after }) => shown(after)),
  }
}

const shown = ({ id, org, plan, status, from, to, add }: ContractRow) => ({
  id,
  org,
  plan,
  status,
  from,
  to,
  add,
})

const same = (one: ContractRow | null, other: ContractRow): boolean =>
  one !== null && JSON.stringify(shown(one)) === JSON.stringify(shown(other))

async function repair(
  parsed: Parsed,
  contract: string,
  source: string,
  control: Control,
  { id: askedBy }: Actor,
  now: number,
): Promise<boolean> {
  const event = await synthetic(parsed, contract, source, askedBy, now)
  const body = JSON.stringify(event.payload)
  const kept = await keep(control.db, event, body, { idIsEnough: false }, new Date(now).toISOString())
  const delivered = await control.inbox.deliver(kept.event, parsed)
  return delivered.ok && delivered.value.state === 'applied' && !delivered.value.duplicate
}

/** As if the source had sent it. */
async function synthetic(
  parsed: Parsed,
  contract: string,
  source: string,
  askedBy: string,
  now: number,
): Promise<ReceivedEvent> {
  const payload = { contract, at: now, events: parsed.ok ? parsed.value : [] }
  const name = contract.replace(/[^\w.:@|+~-]/g, '-')
  return {
    source,
    id: `reconcile:${now}:${crypto.randomUUID()}:${name}`.slice(0, 128),
    type: RECONCILED,
    occurredAt: new Date(now).toISOString(),
    payload,
    askedBy,
    digest: await sha256Hex(JSON.stringify(payload)),
  }
}
