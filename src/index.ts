/**
 * Remint as a library: the gateway as a Hono app, for a Worker that has routes of its own.
 */
export { createGateway } from './gateway/app.ts'
export type { EntitlementsKV, GatewayBindings, MintLogMessage, MintLogQueue } from './gateway/config.ts'
export type { GatewayOptions } from './gateway/handlers/request_context.ts'
