/** The ledger outside of a Worker: on the test's clock, with a list of its commits in the place of what follows one. */
import { COMMANDS } from '../../../src/control/app.ts'
import { requestApproval } from '../../../src/control/change_requests/commands.ts'
import { connect } from '../../../src/control/db/client.ts'
import { type Commit, createLedger, type Ledger } from '../../../src/control/ledger/commit.ts'
import { bindings } from './control.ts'

export interface LedgerUnderTest extends Ledger {
  readonly commits: readonly Commit[]
}

export function openLedger(clock: () => number): LedgerUnderTest {
  const commits: Commit[] = []
  const ledger = createLedger({
    db: connect(bindings.DB).db,
    clock,
    environments: ['staging', 'production'],
    requestApproval: requestApproval(COMMANDS),
    afterCommit: (commit) => commits.push(commit),
  })
  return { ...ledger, commits }
}
