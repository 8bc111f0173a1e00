/** The ledger outside of a Worker: on the test's clock, with a list of its commits in the place of what follows one. */
import { COMMANDS } from '../../../src/control/app.ts'
import { type Actor, systemActor } from '../../../src/control/auth/actor.ts'
import { requestApproval } from '../../../src/control/change_requests/commands.ts'
import { connect } from '../../../src/control/db/client.ts'
import { type Commit, createLedger, type Ledger } from '../../../src/control/ledger/commit.ts'
import { bindings } from './control.ts'

export interface LedgerUnderTest extends Ledger {
  readonly commits: readonly Commit[]
  /** The statements that were prepared so far. */
  readonly statements: readonly string[]
}

export function openLedger(clock: () => number): LedgerUnderTest {
  const commits: Commit[] = []
  const statements: string[] = []
  const recording = new Proxy(bindings.DB, {
    get(target, name) {
      const member = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        if (name === 'prepare') statements.push(String(args[0]))
        return Reflect.apply(member, target, args)
      }
    },
  })
  const ledger = createLedger({
    db: connect(recording).db,
    clock,
    environments: ['staging', 'production'],
    requestApproval: requestApproval(COMMANDS),
    afterCommit: (commit) => commits.push(commit),
  })
  return { ...ledger, commits, statements }
}

export const person = (name: string, ...roles: string[]): Actor => ({
  ...systemActor('system:test'),
  id: `user:${name}`,
  people: [`user:${name}`],
  roles,
})
