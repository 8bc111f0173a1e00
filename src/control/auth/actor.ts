/** Who acts: a person, a key on behalf of one, or a part of the control plane itself. Pure. */

/** Who gives a command. */
export interface Actor {
  /** `user:…` or, for contract sync and schedules, `system:…`. */
  readonly id: string
  readonly roles: readonly string[]
  /** The API key that acts for the actor. */
  readonly apiKey: string | null
  /** `null`: every environment. */
  readonly environments: readonly string[] | null
  /** The teams that the actor is in, as owners of flags are named. */
  readonly teams: readonly string[]
  /** Everybody who can have given the command: behind a key also who made it, as far as that is known. */
  readonly people: readonly string[]
}

/** Whoever made a key of which that was not noted. */
export const UNKNOWN_PERSON = 'unknown'

/** An actor of our own: no person, in every environment. */
export const systemActor = (id: `system:${string}`): Actor => ({
  ...{ id, roles: [], apiKey: null, environments: null, teams: [], people: [] },
})

/** Of these environments, those that the actor's key is for. */
export const environmentsFor = ({ environments }: Actor, all: readonly string[]): string[] =>
  all.filter((name) => environments === null || environments.includes(name))

/** Whether an owner of flags, a person or a team, is this actor: in person, as a key is in any name that its maker chose. */
export const isOwner = ({ id, teams, apiKey }: Actor, owner: string): boolean =>
  apiKey === null && (id === owner || teams.includes(owner))
