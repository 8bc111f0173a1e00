/**
 * The form of the names that stand in keys and claims. Pure, and without a schema library, so that a guard in a browser
 * can check a flag's name too.
 */

/** A flag's key: a slug of 1 to 63 characters. */
export const FLAG_KEY = /^[a-z0-9][a-z0-9._-]{0,62}$/

/** An environment's name, as it stands in document keys. */
export const ENVIRONMENT_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/** Of the events about minted tokens; apart from their schemas, which the gateway has no use for. */
export const MINT_EVENT_FORMAT = 1
