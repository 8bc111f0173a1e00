/**
 * Changes a document and prints the result: what is on before and after, or why nothing changed and what would change it.
 */

import { isDeepStrictEqual } from 'node:util'
import type { Catalog, OrgDocument, Rule, UserDocument } from '../../src/core/documents.ts'
import { type Decision, evaluate, type Subject } from '../../src/core/evaluate.ts'
import { UsageError } from '../cli.ts'
import { entitleCommand } from '../commands.ts'
import { print } from '../io.ts'
import { newOrg, newUser, withRule } from './changes.ts'
import type { Documents } from './governed.ts'
import { explainNoChange, inWords } from './reasons.ts'
import { flagsOf, hints, printChange } from './show.ts'

const NEXT = 'The next refresh shows it, after at most 5 s: the gateway caches documents that long.'

export interface Target {
  documents: Documents
  catalog: Catalog
  /** The folder that the documents are in, for the commands that are printed. */
  state: string
  /** Whether an organization that does not exist yet may be created. */
  create: boolean
}

export interface SubjectChange {
  id: string
  user: boolean | undefined
  flag: string
  /** The state that the flag should have; `undefined` leaves that to contract and rule. */
  asked: boolean | undefined
  change: <D extends OrgDocument | UserDocument>(document: D) => D
}

export async function changeSubject(target: Target, change: SubjectChange): Promise<void> {
  const { catalog } = target
  const { id, flag } = change
  const { before, after, written } = await (change.user
    ? changeUser(target, change)
    : changeOrg(target, change))
  const had = flagsOf(catalog, before)
  const has = flagsOf(catalog, after)
  printChange(id, had, has)
  if (!isDeepStrictEqual(had, has)) return print(`\n${NEXT}`)
  const was = decisionOf(catalog, before, flag)
  const is = decisionOf(catalog, after, flag)
  if (change.user && was.reason !== is.reason) {
    print(
      `\n${flag}: ${inWords(is)} (${is.reason}). A token also has the flags of the organization.\n${NEXT}`,
    )
    return
  }
  const option = change.user ? ' --user' : ''
  const { why, remedy } = explainNoChange(is, change.asked, { id, option })
  const kept =
    change.asked === true && !is.on ? ' The grant is stored, and takes effect once that changes.' : ''
  print(`\n${written ? '' : `${id} has no grant and no denial of ${flag}. `}${why}${kept}`)
  if (remedy) print(`${remedy.purpose}:\n\n  ${entitle(target)} ${remedy.command}`)
}

interface Changed {
  before: Subject
  after: Subject
  written: boolean
}

async function changeOrg(
  { documents, create }: Target,
  { id, change, asked }: SubjectChange,
): Promise<Changed> {
  const existing = await documents.org(id)
  const before = existing ?? newOrg(id)
  const after = change(before)
  const written = !isDeepStrictEqual(before, after)
  if (existing === null) {
    const hint = hints(id, await documents.organizations())
    if (asked !== undefined && !create) {
      throw new UsageError(`There is no organization ${id}.${hint}\nTo create it, add --create.`)
    }
    print(`\n${asked === undefined ? 'There is no organization' : 'Creating the organization'} ${id}.${hint}`)
  }
  if (written) await documents.saveOrg(after)
  return { before: { orgId: id, org: before }, after: { orgId: id, org: after }, written }
}

async function changeUser({ documents }: Target, { id, change }: SubjectChange): Promise<Changed> {
  const before = (await documents.user(id)) ?? newUser(id)
  const after = change(before)
  const written = !isDeepStrictEqual(before, after)
  if (written) await documents.saveUser(after)
  return { before: { user: before }, after: { user: after }, written }
}

export async function changeRule(target: Target, flag: string, change: Partial<Rule>): Promise<void> {
  const { documents, catalog } = target
  const changed = withRule(catalog, flag, change)
  const same = isDeepStrictEqual(plain(catalog, flag), plain(changed, flag))
  if (!same) await documents.saveCatalog(changed)
  const unaffected: string[] = []
  const organizations = await documents.organizations()
  for (const id of organizations) {
    const org = await documents.org(id)
    const had = flagsOf(catalog, { orgId: id, org })
    const has = flagsOf(changed, { orgId: id, org })
    if (!isDeepStrictEqual(had, has)) printChange(id, had, has)
    else {
      const decision = decisionOf(changed, { orgId: id, org }, flag)
      unaffected.push(`  ${id}: ${decision.on ? 'on' : 'off'}, ${inWords(decision)} (${decision.reason})`)
    }
  }
  if (unaffected.length > 0) {
    const rule = same ? `The rule of ${flag} was already like this. ` : ''
    print(`\n${rule}No change for:\n${unaffected.join('\n')}`)
  }
  if (unaffected.length < organizations.length) print(`\n${NEXT}`)
}

const entitle = ({ state, catalog }: Target): string =>
  entitleCommand({ state, environment: catalog.environment })

/** A rule with `killed: false` equals one without it. */
const plain = (catalog: Catalog, flag: string) => ({ killed: false, ...catalog.flags[flag] })

function decisionOf(catalog: Catalog, subject: Subject, flag: string): Decision {
  const decision = evaluate(catalog, subject, Date.now()).decisions.find((one) => one.flag === flag)
  if (!decision) throw new Error(`no decision about ${flag}`)
  return decision
}
