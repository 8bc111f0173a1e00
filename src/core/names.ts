/**
 * The form of the names in keys and claims. Pure, and without a schema library, so that a guard in a browser
 * can check a flag's name too.
 */

/** A flag's key: a slug of 1 to 63 characters. */
export const FLAG_KEY = /^[a-z0-9][a-z0-9._-]{0,62}$/

/** An environment's name, as in document keys. */
export const ENVIRONMENT_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/** Types of the events about minted tokens, separate from their schemas, which the gateway does not use. */
export const MINT_EVENT_FORMAT = 1
