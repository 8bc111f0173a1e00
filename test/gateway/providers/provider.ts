/** What a provider serves and issues, in the shape that its documentation or source gives. Its settings are in docs/providers.md. */

export type Claims = Record<string, unknown>

export interface IssuedToken {
  /** Which of the provider's formats, versions or settings it is. */
  readonly name: string
  /** Beside `alg` and `kid`. */
  readonly header: Claims
  /** Beside `iat` and `exp`. */
  readonly claims: Claims
  /** Vars that the recipe names as another way. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where those lead to another organization. */
  readonly organization?: string
}

export interface Provider {
  /** Its heading in docs/providers.md. */
  readonly name: string
  readonly alg: string
  readonly discovery: { readonly url: string; readonly document: Claims & { readonly issuer: string } }
  /** Whether it names itself by `X-Forwarded-Host`: without that its documents have the origin of `discovery.url`. */
  readonly followsForwardedHost?: true
  readonly jwks: string
  /** Members that its keys have, or lack where they are `undefined`. */
  readonly key?: Claims
  readonly token: string
  /** Access tokens that must be minted, each for organization `organization`. An opaque one is a string. */
  readonly accessTokens: readonly (IssuedToken | string)[]
  readonly organization: string
  /** Claims of the ID token, beside its times and `at_hash`. */
  readonly idToken?: Claims
  /** Members of the token answer besides the usual ones. */
  readonly answer?: Claims
  /** Those of them that the gateway lowers to the life of the minted token. */
  readonly lowered?: Claims
  /** Tokens of the same key that must not be minted: for another application, or of another kind. */
  readonly refused: readonly IssuedToken[]
  /** The `iss` of minted tokens, where it is not the gateway's own address. */
  readonly mintedIssuer?: string
  /** Where a browser goes on from the gateway's own address of the log-in pages, if they are at another origin. */
  readonly logInAt?: string
  /** Members of the gateway's discovery document. */
  readonly published: Claims
}
