/**
 * Why the control plane refuses a request, and the status and text for each reason. Pure.
 *
 * The record is exhaustive by its type: a reason without an entry does not compile. Details say what to do, and never
 * quote the request.
 */
interface Wire {
  readonly status: 400 | 401 | 403 | 404 | 409 | 412 | 413 | 415 | 422 | 428 | 429 | 503
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
    detail: 'The API key is not valid for every environment that this affects.',
  },
  person_required: {
    status: 403,
    detail: 'This takes a person: an API key cannot do it. Sign in and do it yourself.',
  },
  person_gone: {
    status: 403,
    detail: 'This person has left, as an admin recorded. An admin can record a return: see /docs, People.',
  },
  on_behalf_of_refused: {
    status: 403,
    detail:
      'Remint-On-Behalf-Of must be an identity token of the configured CI system, for the configured audience, from a configured project, sent with an API key. See docs/control-plane.md.',
  },
  person_self: { status: 409, detail: 'You cannot mark yourself as gone. Another admin can.' },
  identity_taken: { status: 409, detail: 'A name of this person belongs to another person already.' },
  request_invalid: { status: 400, detail: 'The request does not match the schema of this route.' },
  member_repeated: { status: 400, detail: 'A member occurs twice in one object of the body.' },
  too_many_failures: {
    status: 429,
    detail: 'Too many credentials from this address were refused. Try again in a minute.',
  },
  body_not_json: { status: 415, detail: 'Send a JSON body with Content-Type: application/json.' },
  body_too_large: { status: 413, detail: 'The body is longer than 64 KiB.' },
  cursor_invalid: { status: 400, detail: 'Send `next_cursor` of a page of this route as the cursor.' },
  not_found: { status: 404, detail: 'Not found.' },
  route_unknown: { status: 404, detail: 'There is no such route. See /openapi.json.' },
  environment_unknown: { status: 404, detail: 'There is no such environment. See /api/v1/environments.' },
  revision_required: { status: 428, detail: 'Send If-Match with the revision that you read.' },
  revision_conflict: { status: 412, detail: 'It has changed since you read it. Read it again.' },
  busy: { status: 503, detail: 'Too many changes at the same time. Try again.' },
  idempotency_key_reused: {
    status: 422,
    detail: 'The Idempotency-Key was used for a different request. Use a new one.',
  },
  idempotency_key_invalid: {
    status: 400,
    detail: 'An Idempotency-Key consists of 1 to 128 letters, digits, or . _ : -',
  },
  token_unknown: {
    status: 404,
    detail:
      'The token is not in the mint log. Tokens are kept for 90 days, and a new one takes some seconds to arrive.',
  },
  flag_exists: { status: 409, detail: 'A flag with this key already exists.' },
  flag_key_retired: {
    status: 409,
    detail: 'The key belonged to a flag that is retired. Keys are never used again: choose another one.',
  },
  flag_unknown: { status: 422, detail: 'There is no flag with this key.' },
  flag_retired: { status: 409, detail: 'The flag is retired.' },
  flag_unfunded: {
    status: 422,
    detail: 'An entitlement needs a plan that contains it. Add it to a plan, or send no_plan_reason.',
  },
  flag_transition: {
    status: 409,
    detail: 'A flag cannot move from its state to this one. The order is draft, live, retiring, retired.',
  },
  flag_on_for_all: {
    status: 409,
    detail:
      'Everybody has the flag, because its rule is all, and would lose it. To keep it on, leave its state; to take it away, first set the rule to none.',
  },
  flag_on_by_percentage: {
    status: 409,
    detail:
      'A percentage of the customers has the flag and would lose it. First set the rule to none, or to some without a percentage.',
  },
  flag_granted: {
    status: 409,
    detail:
      'Grants give the flag to organizations or users, who would lose it. First revoke them, or set the rule to none; GET /api/v1/grants?flag={key} lists them.',
  },
  flag_paid_for: {
    status: 409,
    detail:
      'Contracts in force pay for the flag. First take it out of the plans and add-ons that contain it, or set the rule to none.',
  },
  flag_not_rollout: { status: 422, detail: 'Only a rollout has a retire_by. An entitlement has reviews.' },
  flag_not_entitlement: {
    status: 422,
    detail: 'Only an entitlement has reviews. A rollout has a retire_by.',
  },
  retire_by_invalid: {
    status: 422,
    detail: 'retire_by must be in the future, later than before, and within 365 days.',
  },
  window_invalid: { status: 422, detail: 'The window must end after it begins, and in the future.' },
  grant_needs_end: { status: 422, detail: 'An override, beta or support grant must end: send `to`.' },
  grant_too_long: { status: 422, detail: 'An override, beta or support grant must end within 365 days.' },
  grant_import_forbidden: { status: 403, detail: 'Only an editor or an admin can import grants.' },
  grant_ended: { status: 409, detail: 'The grant has already ended.' },
  org_unknown: { status: 422, detail: 'There is no such organization.' },
  org_exists: { status: 409, detail: 'An organization with this id already exists.' },
  not_before_backwards: { status: 422, detail: 'not_before can only be raised, and not into the future.' },
  plan_unknown: { status: 422, detail: 'There is no plan with this key.' },
  plan_exists: { status: 409, detail: 'A plan with this key already exists.' },
  contract_elsewhere: { status: 409, detail: 'This id belongs to a contract of another organization.' },
  contract_revision_stale: { status: 409, detail: 'A later revision of the contract is already stored.' },
  contract_revision_conflict: {
    status: 409,
    detail: 'This revision of the contract is already stored with different content. Send a higher one.',
  },
  key_lifetime: { status: 422, detail: 'An API key must end in the future, within 365 days.' },
  approval_required: {
    status: 409,
    detail: 'The policy of an environment requires approval: request it with POST /api/v1/changes.',
  },
  change_item_invalid: {
    status: 422,
    detail: 'An item is not a command that can be requested, or its input does not match. See /docs.',
  },
  change_empty: { status: 422, detail: 'Nothing would change.' },
  change_too_large: { status: 422, detail: 'It changes too much at once: request it in parts.' },
  change_state: { status: 409, detail: 'The change request is in a state that does not allow this.' },
  change_not_yours: { status: 403, detail: 'Only the author of the change request may do this.' },
  change_stale: {
    status: 409,
    detail:
      'The change request is stale: its effect has changed since it was requested. Its author can submit it again.',
  },
  change_not_due: { status: 409, detail: 'It is scheduled for later.' },
  change_not_break_glass: {
    status: 409,
    detail: 'Only break-glass changes are reviewed.',
  },
  change_reviewed: { status: 409, detail: 'It has already been reviewed.' },
  apply_at_invalid: { status: 422, detail: 'apply_at must be in the future, within 90 days.' },
  approvals_missing: {
    status: 409,
    detail: 'The change request does not have the approvals that the policy requires.',
  },
  self_approval: {
    status: 403,
    detail: 'You cannot approve what you requested, also through an API key. Somebody else must.',
  },
  self_rejection: { status: 403, detail: 'You cannot reject what you requested. Cancel it instead.' },
  already_approved: { status: 409, detail: 'You have already approved it.' },
  author_key_revoked: {
    status: 409,
    detail: 'It was requested with an API key that is revoked now. Request it again.',
  },
  author_key_expired: {
    status: 409,
    detail: 'It was requested with an API key that has expired. Request it again.',
  },
  author_gone: {
    status: 409,
    detail: 'The person who requested it has left. Request it yourself if it is still wanted.',
  },
  author_unknown: {
    status: 403,
    detail:
      'It was requested with an API key whose creator is unknown. Create a new key and request it again.',
  },
  break_glass_unreviewed: {
    status: 409,
    detail: 'You have already granted this by break-glass, and nobody has reviewed it yet.',
  },
  digest_mismatch: {
    status: 409,
    detail:
      'The digest does not match the current change request. Send `digest` of GET /api/v1/changes/{id}, not that of its effect.',
  },
  flags_exclusive: {
    status: 422,
    detail: 'An organization would have two flags that exclude each other by the policy of the environment.',
  },
  source_unknown: { status: 404, detail: 'There is no such source, or it is not configured.' },
  webhook_refused: {
    status: 400,
    detail:
      'The signature does not match the delivery, its timestamp is too old, or it is not an event. See docs/contract-sync.md.',
  },
  webhook_unsigned: {
    status: 401,
    detail: 'The signature is missing, or matches none of the configured secrets.',
  },
  source_not_reconcilable: {
    status: 422,
    detail: 'This source cannot be queried for its current state. Send its contracts in `list`.',
  },
  mapping_moves_too_many: {
    status: 422,
    detail:
      'More than 100 contracts follow from this name. Map another name of theirs, such as the price’s id instead of its product’s, or the customers one by one.',
  },
  list_unordered: {
    status: 422,
    detail: 'Send the entries of a list in the order of their contract numbers, each once.',
  },
  source_without_key: {
    status: 422,
    detail: 'To query Stripe for its current state, configure STRIPE_API_KEY. See docs/contract-sync.md.',
  },
  inbox_failed: { status: 503, detail: 'The event could not be stored. Send it again.' },
  refetch_failed: {
    status: 503,
    detail: 'The source’s API does not respond right now. Try again.',
  },
  event_settled: { status: 409, detail: 'The event is already settled.' },
  finding_resolved: { status: 409, detail: 'The finding is resolved, so there is nothing to accept.' },
  own_drift: {
    status: 403,
    detail:
      'You made what this finding is about. Where changes require approval, somebody else must accept it.',
  },
  accept_until_invalid: { status: 422, detail: 'until must be in the future, within 365 days.' },
  promotion_not_next: {
    status: 422,
    detail: 'A promotion goes from an environment to the next one. See /api/v1/environments.',
  },
  promotion_unpublished: { status: 422, detail: 'Only live and retiring flags can be promoted.' },
  promotion_moved: {
    status: 409,
    detail: 'The rule has changed in one of the two environments since they were compared. Compare again.',
  },
  contract_contradicts: {
    status: 409,
    detail:
      'A contract contradicts it: an organization would lose what it pays for, or get without a contract what is sold. `contradictions` says which.',
  },
  grant_exists: { status: 409, detail: 'A grant with this id already exists.' },
  key_owner_reserved: {
    status: 422,
    detail: 'This name belongs to a part of the control plane. Name a person, or a system such as system:ci.',
  },
  key_revoked: { status: 409, detail: 'The API key is already revoked.' },
} as const satisfies Record<string, Wire>

export type Refusal = keyof typeof WIRE

export const wireOf = (reason: Refusal): Wire => WIRE[reason]
