/** The commands about people: what they read from D1, and the decision that uses it. Each takes a person. */
import { err, ok, type Result } from '../../core/result.ts'
import { sharePerson } from '../auth/actor.ts'
import type { PersonRow } from '../db/rows.ts'
import type { EditOf } from '../entities/edit.ts'
import { byName, foldNames } from '../entities/person.ts'
import type { Command, Facts, Why } from '../ledger/command.ts'
import type { Refusal } from '../refusals.ts'
import type { Role } from '../roles.ts'

export type PersonEdit = EditOf<'people'>

export interface PersonContent {
  readonly name: string | null
  readonly email: string | null
  readonly roles: readonly Role[]
  readonly identities: readonly string[]
}

export const putPerson = (subject: string, content: PersonContent, why: Why): Command<PersonEdit> =>
  personCommand('person.put', why, async ({ state, now }) => {
    const identities = [...new Set(content.identities)].filter((name) => name !== subject)
    const names = foldNames([subject, ...identities])
    const known = await state.rows('people').by(byName, names)
    if (known.some((other) => other.subject !== subject)) return err('identity_taken')
    const before = known.find((row) => row.subject === subject)
    const roles = [...new Set(content.roles)]
    return ok(
      edit(before, { ...newPerson(subject, now), ...before, ...content, roles, identities, names }, now),
    )
  })

/** From now on the person may do nothing, and nothing that they requested is done. */
export const markGone = (subject: string, why: Why): Command<PersonEdit> =>
  personCommand('person.leave', why, async ({ state, now, actor }) => {
    const before = await state.rows('people').load(subject)
    const person = before ?? newPerson(subject, now)
    if (sharePerson(actor.people, person.names)) return err('person_self')
    const gone_at = person.gone_at ?? new Date(now).toISOString()
    return ok(edit(before, { ...person, gone_at }, now))
  })

export const markReturned = (subject: string, why: Why): Command<PersonEdit> =>
  personCommand('person.return', why, async ({ state, now }) => {
    const before = await state.rows('people').load(subject)
    return before ? ok(edit(before, { ...before, gone_at: null }, now)) : err('not_found')
  })

/** Forgets name and address. The subject stays, because audit rows name it. */
export const erasePerson = (subject: string, why: Why): Command<PersonEdit> =>
  personCommand('person.erase', why, async ({ state, now }) => {
    const before = await state.rows('people').load(subject)
    return before ? ok(edit(before, { ...before, name: null, email: null }, now)) : err('not_found')
  })

const personCommand = (
  action: string,
  why: Why,
  decide: (facts: Facts) => Promise<Result<PersonEdit, Refusal>>,
): Command<PersonEdit> => ({
  action,
  ...why,
  decide: async (facts) => (facts.actor.apiKey === null ? decide(facts) : err('person_required')),
})

export function newPerson(subject: string, now: number): PersonRow {
  const at = new Date(now).toISOString()
  return {
    subject,
    name: null,
    email: null,
    roles: [],
    identities: [],
    names: foldNames([subject]),
    gone_at: null,
    created_at: at,
    updated_at: at,
    revision: 0,
  }
}

const edit = (before: PersonRow | undefined, after: PersonRow, now: number): PersonEdit => ({
  table: 'people',
  before: before ?? null,
  after: { ...after, updated_at: new Date(now).toISOString(), revision: (before?.revision ?? 0) + 1 },
})
