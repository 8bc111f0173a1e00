/** The routes of drift: list findings, start a pass, accept a finding. */
import { and, asc, desc, eq, gt, inArray, isNotNull, isNull, lt, lte, or, type SQL, sql } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { type Actor, environmentsFor } from '../auth/actor.ts'
import type { DriftProgress } from '../config.ts'
import type { FindingRow } from '../db/rows.ts'
import { findings } from '../db/schema.ts'
import { list } from '../db/sql.ts'
import { why } from '../entities/fields.ts'
import { act } from '../http/action.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import { EDITORS, READERS } from '../roles.ts'
import { acceptance, type FindingEdit, findingAccept, findingParams } from './accept.ts'
import { SEVERITIES, type Severity } from './kinds.ts'
import {
  type FindingState,
  findingSchema,
  listAnswer,
  listQuery,
  progressSchema,
  viewFinding,
} from './schemas.ts'

const accepting = acceptance.extend(why)

/** Worst first. */
const RANK = sql<number>`CASE severity WHEN 'over_grant' THEN 0 WHEN 'under_grant' THEN 1 ELSE 2 END`

export function driftRoutes(api: Api): void {
  read(api, {
    path: '/drift',
    tag: 'Drift',
    summary: 'List drift findings, worst first',
    description:
      'Where intent, contract, published document and minted claim disagree. Within a severity, the newest come first.',
    roles: READERS,
    query: listQuery,
    answer: listAnswer,
    async read({ query, control: { db, clock, config, driftProgress }, actor }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const now = new Date(clock()).toISOString()
      const conditions = [
        visibleTo(actor, config.environments),
        query.kind ? eq(findings.kind, query.kind) : undefined,
        query.severity ? eq(findings.severity, query.severity) : undefined,
        query.environment ? eq(findings.environment, query.environment) : undefined,
        query.org ? eq(findings.org, query.org) : undefined,
        query.flag ? eq(findings.flag, query.flag) : undefined,
        isIn(query.state, now),
        after.value === undefined ? undefined : behind(after.value),
      ]
      const [rows, counts, pass] = await Promise.all([
        db
          .select()
          .from(findings)
          .where(and(...conditions))
          .orderBy(asc(RANK), desc(findings.first_seen), asc(findings.id))
          .limit(query.limit + 1),
        db
          .select({ severity: findings.severity, count: sql<number>`count(*)` })
          .from(findings)
          .where(and(visibleTo(actor, config.environments), isIn('open', now)))
          .groupBy(findings.severity),
        driftProgress(),
      ])
      const page = toPage(rows, query.limit, placeOf)
      const open = Object.fromEntries(
        SEVERITIES.map((name) => [name, counts.find(({ severity }) => severity === name)?.count ?? 0]),
      ) as Record<Severity, number>
      const data = page.data.map((row) => viewFinding(row, now))
      return ok({ ...page, data, open, pass, summary: summaryOf(open, pass) })
    },
  })

  act(api, {
    path: '/drift/runs',
    everywhere: true,
    tag: 'Drift',
    summary: 'Start a drift pass now',
    description: 'Continues in the background; if a pass is already running, another one follows it.',
    roles: EDITORS,
    answer: progressSchema,
    act: async ({ control }) => ok(await control.startDrift()),
  })

  read(api, {
    path: '/drift/{finding}',
    tag: 'Drift',
    summary: 'Get a finding',
    roles: READERS,
    params: findingParams,
    answer: findingSchema,
    async read({ params, control: { db, clock, config }, actor }) {
      const [row] = await db
        .select()
        .from(findings)
        .where(and(eq(findings.id, params.finding), visibleTo(actor, config.environments)))
      return row ? ok(viewFinding(row, new Date(clock()).toISOString())) : err('not_found')
    },
  })

  write<typeof accepting, FindingEdit, typeof findingParams>(api, {
    method: 'post',
    path: '/drift/{finding}/accept',
    tag: 'Drift',
    summary: 'Accept a finding: why it may stay, and until when (at most 365 days)',
    description:
      'Where the policy of the environment requires approval, this takes a person other than those behind the edit that made it.',
    roles: EDITORS,
    params: findingParams,
    body: accepting,
    data: findingSchema,
    command: ({ params, body: { until, ...rest } }) =>
      findingAccept.create({ ...params, until }, because(rest)),
    // The response is about the acceptance.
    view: (row) => viewFinding(row, row.updated_at),
  })
}

/** An API key that is limited to some environments sees nothing of the others, nor what concerns all of them. */
const visibleTo = (actor: Actor, all: readonly string[]): SQL | undefined =>
  actor.environments === null ? undefined : inArray(findings.environment, list(environmentsFor(actor, all)))

function isIn(state: FindingState, now: string): SQL | undefined {
  const { resolved_at, accepted_until } = findings
  switch (state) {
    case 'open':
      return and(isNull(resolved_at), or(isNull(accepted_until), lte(accepted_until, now)))
    case 'accepted':
      return and(isNull(resolved_at), gt(accepted_until, now))
    case 'resolved':
      return isNotNull(resolved_at)
  }
}

const placeOf = ({ severity, first_seen, id }: FindingRow): string =>
  `${SEVERITIES.indexOf(severity)} ${first_seen} ${id}`

function behind(place: string): SQL | undefined {
  const [first = '', first_seen = '', id = ''] = place.split(' ')
  const rank = Number.parseInt(first, 10) || 0
  const seen = findings.first_seen
  return or(
    sql`${RANK} > ${rank}`,
    and(sql`${RANK} = ${rank}`, or(lt(seen, first_seen), and(eq(seen, first_seen), gt(findings.id, id)))),
  )
}

function summaryOf(open: Record<Severity, number>, { last, running }: DriftProgress): string {
  const count = open.over_grant + open.under_grant + open.metadata
  if (!last) {
    const next = running ? 'One is on its way' : 'The next begins within a minute'
    return `No pass has looked at everything yet, so that an empty list means nothing. ${next}.`
  }
  const found =
    count === 0 ? 'Nothing is open' : `${count} ${count === 1 ? 'finding is' : 'findings are'} open`
  return `${found} as of the last complete pass, which ended at ${last.completed_at}.`
}
