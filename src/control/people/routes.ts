/**
 * The routes of people: who an operator is besides a log-in, the roles assigned here, and who has left. Only admins read
 * names and addresses, and only people change them.
 */
import { z } from '@hono/zod-openapi'
import { asc, eq, gt } from 'drizzle-orm'
import { err, ok } from '../../core/result.ts'
import { people } from '../db/people.ts'
import type { PersonRow } from '../db/rows.ts'
import { shortText, storedInstant, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { afterCursor, pageOf, pageQuery, toPage } from '../http/page.ts'
import { read } from '../http/read.ts'
import { write } from '../http/write.ts'
import { because } from '../ledger/command.ts'
import { ADMINS, ROLES } from '../roles.ts'
import { erasePerson, markGone, markReturned, type PersonEdit, putPerson } from './commands.ts'

const MAX_IDENTITIES = 20

export const subject = z
  .string()
  .regex(/^user:[^\p{Cc}\p{Cs}]{1,256}$/u)
  .openapi({
    description: '`user:` and the subject of the identity provider, or the address behind Cloudflare Access.',
    example: 'user:ada',
  })
/** Logins have no case at the CI systems. */
const login = z
  .string()
  .regex(/^(github|gitlab):[\w.-]{1,100}(\[bot\])?$/i)
  .transform((name) => name.toLowerCase())

const personParams = z.object({ subject })
const putting = z.object({
  name: shortText.nullable().default(null),
  email: z.email().max(254).nullable().default(null),
  roles: z
    .array(z.enum(ROLES))
    .default([])
    .openapi({ description: 'Besides the roles that the identity provider sends.' }),
  identities: z
    .array(z.union([subject, login]))
    .max(MAX_IDENTITIES)
    .default([])
    .openapi({
      description: 'Other names: a second log-in (`user:…`), or a login of a CI system.',
      example: ['github:octocat'],
    }),
  ...why,
})
const justWhy = z.object(why)

const personSchema = z
  .object({
    subject: z.string(),
    name: z.string().nullable(),
    email: z.string().nullable(),
    roles: z.array(z.enum(ROLES)),
    identities: z.array(z.string()),
    gone_at: storedInstant.nullable(),
    created_at: storedInstant,
    updated_at: storedInstant,
    revision: z.int(),
  })
  .openapi('Person')

const view = ({ names: _, ...row }: PersonRow) => row

export function peopleRoutes(api: Api): void {
  read(api, {
    path: '/people',
    tag: 'People',
    summary: 'List people',
    roles: ADMINS,
    everywhere: true,
    query: z.object(pageQuery),
    answer: pageOf(personSchema),
    async read({ query, control: { db } }) {
      const after = afterCursor(query.cursor)
      if (!after.ok) return after
      const rows = await db
        .select()
        .from(people)
        .where(after.value === undefined ? undefined : gt(people.subject, after.value))
        .orderBy(asc(people.subject))
        .limit(query.limit + 1)
      const page = toPage(rows, query.limit, (row) => row.subject)
      return ok({ ...page, data: page.data.map(view) })
    },
  })

  read(api, {
    path: '/people/{subject}',
    tag: 'People',
    summary: 'Get a person',
    roles: ADMINS,
    everywhere: true,
    params: personParams,
    answer: personSchema,
    async read({ params, control: { db } }) {
      const [row] = await db.select().from(people).where(eq(people.subject, params.subject))
      return row ? ok(view(row)) : err('not_found')
    },
  })

  write<typeof putting, PersonEdit, typeof personParams>(api, {
    method: 'put',
    path: '/people/{subject}',
    tag: 'People',
    summary: 'Set a person’s name, address, roles and identities; takes a person',
    description: 'Names and addresses are in no audit row, so that they can be erased. The subject stays.',
    roles: ADMINS,
    everywhere: true,
    params: personParams,
    body: putting,
    data: personSchema,
    status: 201,
    ifMatch: 'required',
    command: ({ params, body: { reason, ticket, ...content } }) =>
      putPerson(params.subject, content, because({ reason, ticket })),
    view,
  })

  const verb = (name: string, summary: string, command: typeof markGone) =>
    write<typeof justWhy, PersonEdit, typeof personParams>(api, {
      method: 'post',
      path: `/people/{subject}/${name}`,
      tag: 'People',
      summary,
      roles: ADMINS,
      everywhere: true,
      params: personParams,
      body: justWhy,
      data: personSchema,
      command: ({ params, body }) => command(params.subject, because(body)),
      view,
    })

  verb(
    'leave',
    'Mark a person as gone: they may do nothing any more, and what they requested becomes stale',
    markGone,
  )
  verb('return', 'Record that a person is back', markReturned)
  verb('erase', 'Erase a person’s name and address', erasePerson)
}
