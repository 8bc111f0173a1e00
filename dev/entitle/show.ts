/**
 * What `npm run entitle` prints: who has what, and why. Reads documents and writes to the terminal.
 */

import type { Catalog } from '../../src/core/documents.ts'
import { type Decision, evaluate, type Subject } from '../../src/core/evaluate.ts'
import { paint } from '../cli.ts'
import { print } from '../io.ts'
import { difference } from './changes.ts'
import type { Documents } from './governed.ts'
import { inWords } from './reasons.ts'
import { nearNames } from './words.ts'

export async function showAll(documents: Documents, catalog: Catalog): Promise<void> {
  const width = Math.max(...Object.keys(catalog.flags).map((flag) => flag.length))
  print(`\n${paint('bold', `Flags in ${catalog.environment}`)}`)
  for (const [flag, rule] of Object.entries(catalog.flags).sort(([a], [b]) => a.localeCompare(b))) {
    const rollout = rule.percentage === undefined ? '' : `, ${rule.percentage} % rollout`
    print(`  ${flag.padEnd(width)}  ${rule.access}${rollout}${rule.killed ? ', killed' : ''}`)
  }
  print(`\n${paint('bold', 'Organizations')}`)
  for (const id of await documents.organizations()) {
    const org = await documents.org(id)
    const plans = org?.contracts.map((contract) => contract.plan).join(', ')
    print(`  ${id} (${plans || 'no plan'}): ${list(flagsOf(catalog, { orgId: id, org }))}`)
  }
  print('')
}

export async function showOrg(documents: Documents, catalog: Catalog, id: string): Promise<void> {
  const org = await documents.org(id)
  if (org === null) {
    print(
      `\n${id} has no grants and no contract: only rules decide.${hints(id, await documents.organizations())}`,
    )
  }
  printDecisions(id, evaluate(catalog, { orgId: id, org }, Date.now()).decisions)
}

export async function showUser(documents: Documents, catalog: Catalog, id: string): Promise<void> {
  const user = await documents.user(id)
  if (user === null) print(`\n${id} has no grants or denials of their own.`)
  printDecisions(id, evaluate(catalog, { user }, Date.now()).decisions)
  print('This is without an organization: a token also has the flags from its contract and grants.\n')
}

function printDecisions(id: string, decisions: readonly Decision[]): void {
  const flagWidth = Math.max(...decisions.map(({ flag }) => flag.length))
  print(`\n${paint('bold', id)}`)
  for (const decision of decisions) {
    const { flag, on, reason } = decision
    const state = on ? paint('green', 'on ') : paint('dim', 'off')
    const why = paint('dim', `${inWords(decision)} (${reason})`)
    print(`  ${state}  ${flag.padEnd(flagWidth)}  ${why}`)
  }
  print('')
}

export function printChange(id: string, before: readonly string[], after: readonly string[]): void {
  const changes = difference(before, after).map((word) => paint(word.startsWith('+') ? 'green' : 'red', word))
  print(`\n${paint('bold', id)}`)
  print(`  before  ${list(before)}`)
  print(`  after   ${list(after)}`)
  print(`          ${changes.join(' ') || paint('dim', 'no change')}`)
}

/** Suggestions for an unknown organization id. */
export function hints(id: string, known: readonly string[]): string {
  const near = nearNames(id, known)
  return [
    ...(near.length > 0 ? [` Did you mean ${near.join(', ')}?`] : []),
    ...(id.startsWith('user_') ? [' For a user, add --user.'] : []),
  ].join('')
}

export const flagsOf = (catalog: Catalog, subject: Subject): readonly string[] =>
  evaluate(catalog, subject, Date.now()).flags

const list = (flags: readonly string[]): string => flags.join(', ') || paint('dim', 'nothing')
