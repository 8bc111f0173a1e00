/**
 * The Durable Object that makes concurrent and interrupted refreshes safe, for a Worker that mounts the gateway.
 *
 * An entry of its own, because it needs the Workers runtime to be imported, and the gateway does not.
 */
export { createRefreshSession, type RefreshSessionOptions } from './gateway/refresh_session.ts'
