/** The part of `npm run soak` about sessions: they refresh in random order, and one reply in twenty is lost. */
import type { Running } from '../../dev/cli.ts'
import { openCrowd, refreshAll } from '../e2e/support/crowd.ts'
import { bundle } from '../support/bundle.ts'
import { keepStateInMemory } from '../support/memory.ts'

const LOSS_RATE = 0.05

/** @returns how many sessions did not live */
export async function soakSessions(running: Running, sessions: number): Promise<number> {
  const { TMPDIR = '/tmp' } = process.env
  // How fast a disk syncs thousands of files is not what is tested here.
  keepStateInMemory()
  try {
    return await soak(running, sessions)
  } finally {
    process.env.TMPDIR = TMPDIR
  }
}

async function soak(running: Running, sessions: number): Promise<number> {
  const { folder } = running.add(await bundle('wrangler.toml'))
  const startedAt = Date.now()
  const { ended, lost, granted, refused, alive } = await refreshAll(
    await openCrowd(running, folder),
    sessions,
    LOSS_RATE,
  )
  const took = ((Date.now() - startedAt) / 1000).toFixed(1)
  console.log(
    `${sessions} sessions refreshed within ${took} s, ${lost} replies lost on the way; ` +
      `upstream granted ${granted} and refused ${refused}, ${alive} sessions live on`,
  )
  for (const [reason, count] of Map.groupBy(ended, (one) => one))
    console.log(`  ended with ${reason}: ${count.length}`)
  const isTested = lost > sessions * LOSS_RATE * 0.8
  if (!isTested) console.log('  too few replies were lost for this to show anything')
  return sessions - alive + refused + Math.abs(granted - sessions) + (isTested ? 0 : 1)
}
