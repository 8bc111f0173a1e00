/**
 * Names -> people: the roles assigned here, the person's other names, and whether the person has left. Does I/O.
 *
 * What permits something is compared exactly; what forbids something, as names are folded.
 */
import { err, ok, type Result } from '../../core/result.ts'
import type { Database } from '../db/client.ts'
import { people } from '../db/people.ts'
import type { PersonRow } from '../db/rows.ts'
import { byName, foldNames } from '../entities/person.ts'
import type { Refusal } from '../refusals.ts'
import type { Actor } from './actor.ts'

/** A signed-in person with what is known of them here. */
export async function asKnown(actor: Actor, db: Database): Promise<Result<Actor, Refusal>> {
  const rows = await peopleNamed(actor.id, db)
  if (rows.some(hasLeft)) return err('person_gone')
  const roles = rows.filter((row) => isCalled(row, actor.id)).flatMap((row) => row.roles)
  return ok({
    ...actor,
    roles: [...new Set([...actor.roles, ...roles])],
    people: [...new Set([...actor.people, ...rows.flatMap(namesOf)])],
  })
}

/** An API key's actor; a key in the name of a person who has left opens nothing. */
export async function withKnownOwner(actor: Actor, db: Database): Promise<Result<Actor, Refusal>> {
  const rows = await peopleNamed(actor.id, db)
  return rows.some(hasLeft) ? err('person_gone') : ok(actor)
}

/** An API key's actor with the person who started the pipeline. @param identity - `github:octocat` */
export async function onBehalfOf(
  actor: Actor,
  identity: string,
  db: Database,
): Promise<Result<Actor, Refusal>> {
  const rows = await peopleNamed(identity, db)
  if (rows.some(hasLeft)) return err('person_gone')
  const person = rows.find((row) => isCalled(row, identity))?.subject ?? null
  return ok({
    ...actor,
    onBehalfOf: { identity, person },
    people: [...new Set([...actor.people, identity, ...rows.flatMap(namesOf)])],
  })
}

const peopleNamed = (name: string, db: Database): Promise<PersonRow[]> =>
  db
    .select()
    .from(people)
    .where(byName.where(foldNames([name])))

export const hasLeft = ({ gone_at }: PersonRow): boolean => gone_at !== null

const isCalled = ({ subject, identities }: PersonRow, name: string): boolean =>
  subject === name || identities.includes(name)

const namesOf = ({ subject, identities }: PersonRow): string[] => [subject, ...identities]
