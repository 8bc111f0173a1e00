/**
 * Preloaded into a `wrangler dev` child: ends it, with all it started, when the process that started it is gone.
 *
 * A parent that is killed cannot clean up, but its end of the channel closes whatever kills it. The child leads its own
 * process group, so signalling the group (0) reaches workerd and esbuild and nobody else.
 */
process.on('disconnect', () => process.kill(0, 'SIGKILL'))
