/**
 * Everything that follows a commit, from every source: the one list. Commits do not wait for it and it must not fail: the cron
 * finds what was missed, in the outbox and in the change requests.
 */
import { type ControlBindings, SCHEDULER_NAME } from './config.ts'
import type { Commit } from './ledger/commit.ts'
import { writeFault } from './log.ts'

type Context = Pick<ExecutionContext, 'waitUntil'>

export const afterCommit =
  (env: ControlBindings, context: Context) =>
  ({ environments, edits }: Commit): void => {
    for (const environment of environments) context.waitUntil(publish(env, environment))
    for (const { table, after } of edits) {
      if (table === 'change_requests' && after.state === 'scheduled' && after.apply_at !== null) {
        context.waitUntil(schedule(env, Date.parse(after.apply_at)))
      }
    }
  }

/** Wakes the publisher of an environment. */
async function publish(env: ControlBindings, environment: string): Promise<void> {
  try {
    await env.PUBLISHER.getByName(environment).publish(environment)
  } catch {
    writeFault({ publisher: environment, event: 'wake_failed' })
  }
}

/** Applies scheduled changes at that time, epoch milliseconds. */
async function schedule(env: ControlBindings, at: number): Promise<void> {
  try {
    await env.SCHEDULER.getByName(SCHEDULER_NAME).wakeAt(at)
  } catch {
    writeFault({ scheduler: SCHEDULER_NAME, event: 'wake_failed' })
  }
}
