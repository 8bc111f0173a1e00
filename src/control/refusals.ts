/**
 * Why the control plane says no, and what goes on the wire for each reason. Pure.
 *
 * The record is exhaustive by its type: a reason without an answer does not compile. Details say what to do, and never
 * quote what was sent.
 */
interface Wire {
  readonly status: 400 | 401 | 403 | 404 | 409 | 412 | 413 | 415 | 422 | 428 | 503
  readonly detail: string
}

const WIRE = {
  unauthenticated: { status: 401, detail: 'Send an access token or an API key as a bearer token.' },
  token_refused: { status: 401, detail: 'The credentials are not valid.' },
  identity_unreachable: {
    status: 503,
    detail: 'The keys that verify credentials cannot be fetched right now.',
  },
  role_missing: { status: 403, detail: 'None of your roles may do this.' },
  environment_forbidden: {
    status: 403,
    detail: 'The API key is not for every environment that this is about.',
  },
  person_required: {
    status: 403,
    detail: 'An API key makes no API keys, lest it outlive its end. Log in, and make it yourself.',
  },
  request_invalid: { status: 400, detail: 'The request does not match the schema of this route.' },
  body_not_json: { status: 415, detail: 'Send a JSON body with Content-Type: application/json.' },
  body_too_large: { status: 413, detail: 'The body is longer than 64 KiB.' },
  cursor_invalid: { status: 400, detail: 'The cursor is not one that this route gave.' },
  not_found: { status: 404, detail: 'There is no such thing.' },
  route_unknown: { status: 404, detail: 'There is no such route; see /openapi.json.' },
  environment_unknown: { status: 404, detail: 'There is no such environment; see /api/v1/environments.' },
  revision_required: { status: 428, detail: 'Send If-Match with the revision that you have read.' },
  revision_conflict: { status: 412, detail: 'It was changed since you read it. Read it again.' },
  busy: { status: 503, detail: 'Too many changes at once. Try again.' },
  idempotency_key_reused: { status: 422, detail: 'The Idempotency-Key was used for another request.' },
  idempotency_key_invalid: {
    status: 400,
    detail: 'An Idempotency-Key has 1 to 128 letters, digits, or . _ : -',
  },
  token_unknown: {
    status: 404,
    detail:
      'No such token is in the mint log. It is kept for 90 days, and what was minted takes some seconds to get there.',
  },
  flag_exists: { status: 409, detail: 'There is a flag with this key.' },
  flag_key_retired: {
    status: 409,
    detail: 'The key belonged to a flag that is retired, and is never used again.',
  },
  flag_unknown: { status: 422, detail: 'There is no flag with this key.' },
  flag_retired: { status: 409, detail: 'The flag is retired.' },
  flag_unfunded: { status: 422, detail: 'An entitlement needs a plan that holds it, or no_plan_reason.' },
  flag_transition: { status: 409, detail: 'The flag cannot go from its state to that one.' },
  flag_on_for_all: {
    status: 409,
    detail:
      'Everybody has the flag where its rule is all, and would lose it. Leave it in its state while it is to stay on; to take it away, set the rule to none first.',
  },
  flag_on_by_percentage: {
    status: 409,
    detail:
      'A percentage of the customers has the flag and would lose it. Set the rule to none, or to some without a percentage, first.',
  },
  flag_granted: {
    status: 409,
    detail:
      'Grants give the flag to organizations or users, who would lose it. Revoke them first, or set the rule to none; GET /api/v1/grants?flag={key} lists them.',
  },
  flag_paid_for: {
    status: 409,
    detail:
      'Contracts in force pay for the flag. Take it out of the plans and add-ons that hold it first, or set the rule to none.',
  },
  flag_not_rollout: { status: 422, detail: 'Only a rollout has a retire_by; an entitlement is reviewed.' },
  flag_not_entitlement: {
    status: 422,
    detail: 'Only an entitlement is reviewed; a rollout has a retire_by.',
  },
  retire_by_invalid: {
    status: 422,
    detail: 'retire_by must be later than now, than before, and within 365 days.',
  },
  window_invalid: { status: 422, detail: 'The window must end after it begins, and in the future.' },
  grant_needs_end: { status: 422, detail: 'An override, beta or support grant must end: send to.' },
  grant_too_long: { status: 422, detail: 'An override, beta or support grant ends within 365 days.' },
  grant_import_forbidden: { status: 403, detail: 'Only an editor or an admin imports grants.' },
  grant_ended: { status: 409, detail: 'The grant has ended already.' },
  org_unknown: { status: 422, detail: 'There is no such organization.' },
  org_exists: { status: 409, detail: 'There is an organization with this id.' },
  not_before_backwards: { status: 422, detail: 'not_before only goes up, and not into the future.' },
  plan_unknown: { status: 422, detail: 'There is no plan with this key.' },
  plan_exists: { status: 409, detail: 'There is a plan with this key.' },
  contract_elsewhere: { status: 409, detail: 'A contract of another organization has this id.' },
  contract_revision_stale: { status: 409, detail: 'A later revision of the contract is known.' },
  contract_revision_conflict: {
    status: 409,
    detail: 'This revision of the contract is known with other content.',
  },
  key_lifetime: { status: 422, detail: 'An API key ends in the future, and within 365 days.' },
  approval_required: {
    status: 409,
    detail: 'The policy of an environment wants this approved: ask for it with POST /api/v1/changes.',
  },
  change_item_invalid: {
    status: 422,
    detail: 'An item is not a command that can be asked for, or its input does not match; see /docs.',
  },
  change_empty: { status: 422, detail: 'Nothing would change.' },
  change_too_large: { status: 422, detail: 'It changes too much at once: ask for it in parts.' },
  change_state: { status: 409, detail: 'That cannot be done to a change request in its state.' },
  change_not_yours: { status: 403, detail: 'Only the author of a change request may do that.' },
  change_stale: {
    status: 409,
    detail:
      'What it would do has changed since it was asked for: it is stale. Its author can submit it again.',
  },
  change_not_due: { status: 409, detail: 'It is scheduled for later.' },
  change_not_break_glass: {
    status: 409,
    detail: 'Only what was done by break-glass is reviewed afterwards.',
  },
  change_reviewed: { status: 409, detail: 'It has been reviewed already.' },
  apply_at_invalid: { status: 422, detail: 'apply_at must be later than now, and within 90 days.' },
  approvals_missing: { status: 409, detail: 'Not everybody whom the policy asks has approved it.' },
  self_approval: { status: 403, detail: 'Whoever asked for it, also through an API key, cannot approve it.' },
  self_rejection: { status: 403, detail: 'Whoever asked for it cannot reject it; cancel it instead.' },
  already_approved: { status: 409, detail: 'You have approved it already.' },
  approver_unknown: {
    status: 403,
    detail: 'Only people approve, and API keys of which it is known who made them.',
  },
  author_unknown: {
    status: 403,
    detail:
      'It was asked for with an API key of which it is not known who made it: make a new one, and ask again.',
  },
  break_glass_unreviewed: {
    status: 409,
    detail: 'You have given the same by break-glass before, and nobody has reviewed that yet.',
  },
  digest_mismatch: {
    status: 409,
    detail:
      'The digest is not that of the change request as it is now: send `digest` of GET /api/v1/changes/{id}, not that of its effect.',
  },
  flags_exclusive: {
    status: 422,
    detail:
      'An organization would have two flags that the policy of the environment says exclude each other.',
  },
  source_unknown: { status: 404, detail: 'There is no such source, or it is not configured.' },
  webhook_refused: {
    status: 400,
    detail: 'The delivery is not what its sender signed; see docs/contract-sync.md.',
  },
  webhook_unsigned: { status: 401, detail: 'The signature is missing, or not one of ours.' },
  source_not_reconcilable: {
    status: 422,
    detail: 'Only Stripe can be asked for its current state; have other systems send their snapshots again.',
  },
  source_without_key: {
    status: 422,
    detail: 'Stripe can only be asked for its current state with STRIPE_API_KEY; see docs/contract-sync.md.',
  },
  inbox_failed: { status: 503, detail: 'The event could not be kept. Send it again.' },
  refetch_failed: {
    status: 503,
    detail: 'The source’s API does not answer right now. Send the event again.',
  },
  event_settled: { status: 409, detail: 'The event is settled already.' },
  finding_resolved: { status: 409, detail: 'It is no longer found, so that there is nothing to accept.' },
  accept_until_invalid: { status: 422, detail: 'until must be later than now, and within 365 days.' },
  promotion_not_next: {
    status: 422,
    detail: 'A promotion goes from an environment to the next one; see /api/v1/environments.',
  },
  promotion_unpublished: { status: 422, detail: 'Only a flag that is live or retiring is promoted.' },
  promotion_moved: {
    status: 409,
    detail: 'The rule of one of the two environments is not the one that was compared. Compare again.',
  },
  contract_contradicts: {
    status: 409,
    detail:
      'A contract contradicts it: an organization would lose what it pays for, or have for nothing what is sold. `contradictions` says which.',
  },
  grant_exists: { status: 409, detail: 'There is a grant with this id.' },
  key_revoked: { status: 409, detail: 'The API key is revoked already.' },
} as const satisfies Record<string, Wire>

export type Refusal = keyof typeof WIRE

export const wireOf = (reason: Refusal): Wire => WIRE[reason]
