/**
 * What a stage returns: a value, or a named reason why there is none. Pure.
 *
 * Only bugs throw. A reason is a stable snake_case code that goes to the log and, through one exhaustive switch, to a
 * status on the wire; it never holds a value taken from a token.
 */
export type Result<T, Reason extends string = string> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: Reason }

export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value })

export const err = <Reason extends string>(
  reason: Reason,
): { readonly ok: false; readonly reason: Reason } => ({
  ok: false,
  reason,
})
