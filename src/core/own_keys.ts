/**
 * The mark of the gateway's own keys in a published key set. Pure.
 *
 * With `TOKEN_ISSUER=preserve` the set also holds upstream's keys, and upstream can put any claim into its tokens, so only
 * the key says who made a token. The member `remint` of a JWK names the environments whose tokens the key signs: a string,
 * or a list where several environments share the key. Verifiers that do not know the member ignore it (RFC 7517 section 4).
 */

/** A gateway serves one environment, so it marks its keys with one name. */
export const markOwnKey = <Key extends object>(jwk: Key, environment: string): Key & { remint: string } => ({
  ...jwk,
  remint: environment,
})

/** The environments that a key is marked with; none if it is not the gateway's own. */
export function environmentsOf(jwk: object): readonly string[] {
  const mark = (jwk as { remint?: unknown }).remint
  const names = Array.isArray(mark) ? mark : [mark]
  return names.every((name) => typeof name === 'string' && name !== '') ? (names as string[]) : []
}
