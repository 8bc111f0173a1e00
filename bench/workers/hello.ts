/** The least that a Worker can do: what the runtime and the socket cost by themselves. */
export default {
  fetch: (): Response => Response.json({ hello: 'world' }),
}
