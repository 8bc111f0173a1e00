/**
 * Whether a thrown error means "the network gave no answer" or is a bug on this side. Pure.
 *
 * No answer can allow a request (grace), so a bug must not look like one. `fetch` rejects with a `TypeError` for a failed connection,
 * as does a call of something undefined, so the two are distinguished by each runtime's messages.
 */

/** Names of errors that only a mistake in the program throws. */
const BUGS = ['ReferenceError', 'RangeError', 'SyntaxError', 'EvalError', 'URIError', 'AssertionError']

const NETWORK_EXCEPTIONS = ['TimeoutError', 'AbortError', 'NetworkError']

/** How the `TypeError` of a failed fetch begins, by runtime. */
const NETWORK_MESSAGES = [
  'fetch failed', // Node
  'terminated', // Node, in the middle of a body
  'Failed to fetch', // Chromium
  'network error', // Chromium, in the middle of a body
  'NetworkError when attempting to fetch resource', // Firefox
  'Error in input stream', // Firefox, in the middle of a body
  'Load failed', // Safari
  'The network connection was lost', // Safari
  'The Internet connection appears to be offline', // Safari
  'Could not connect to the server', // Safari
  'A server with the specified hostname could not be found', // Safari
  'Network connection lost', // workerd
  'error sending request', // Deno
  'client error (Connect)', // Deno
  'Unable to connect', // Bun
]

export function isNetworkFailure(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  const name = nameOf(thrown)
  if (name === 'TypeError') return NETWORK_MESSAGES.some((message) => thrown.message.startsWith(message))
  if (thrown instanceof DOMException) return NETWORK_EXCEPTIONS.includes(name)
  return !BUGS.includes(name)
}

/** The name of an error, limited in length and in characters. */
export const nameOf = (thrown: unknown): string =>
  thrown instanceof Error && /^\w{1,40}$/.test(thrown.name) ? thrown.name : 'something'
