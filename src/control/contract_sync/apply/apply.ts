/**
 * What an event changes, given the state after the events before it. Its parts are applied separately, so that only a part
 * with an unknown name waits. Does I/O through `Known`.
 */
import type { CanonicalEvent } from '../events.ts'
import type { Known } from '../known.ts'
import type { Commands } from '../run_command.ts'
import type { Parsed, ReceivedEvent } from '../sources/source.ts'
import { applied, quarantined, stopped, together, type Verdict } from '../verdict.ts'
import { applyContract } from './contracts.ts'
import { applyTargets } from './flags.ts'
import { endOrganization, linkOrganization, upsertOrganization } from './organizations.ts'

export interface Ordered {
  readonly event: ReceivedEvent
  readonly known: Known
  /** Epoch milliseconds. */
  readonly now: number
  /** Why only its restrictions may be applied. */
  readonly held?: string | undefined
  /** Why an event has no effect because a later one about the same, of these types if given, is already applied. */
  passed(entity: string, revision: number, types?: readonly string[]): Promise<Verdict | undefined>
}

export async function applyEvent(parsed: Parsed, context: Ordered, commands: Commands): Promise<Verdict> {
  if (!parsed.ok) {
    const unread = quarantined(parsed.reason, parsed.detail)
    if (!parsed.ends) return unread
    // The end of a contract can be read even if the rest cannot.
    const ended = await applyContract(parsed.ends, { ...context, held: unread.problem ?? '', unread: true })
    return { ...ended, state: unread.state, problem: unread.problem, detail: unread.detail, needs: [] }
  }
  const parts: Verdict[] = []
  let { known } = context
  for (const part of parsed.value) {
    const verdict = await applyPart(part, { ...context, known }, commands)
    known = known.after(verdict.steps, verdict.said)
    parts.push(verdict)
  }
  return together(parts)
}

async function applyPart(part: CanonicalEvent, context: Ordered, commands: Commands): Promise<Verdict> {
  switch (part.type) {
    case 'contract.snapshot':
    case 'contract.delta':
    case 'contract.end':
    case 'contract.part':
    case 'entitlements.snapshot':
      return applyContract(part, context)
    case 'org.linked':
      return linkOrganization(part, context, commands)
    case 'org.upserted':
      return upsertOrganization(part, context, commands)
    case 'org.deleted':
      return endOrganization(part, context, commands)
    case 'flag.targets':
      return applyTargets(part, context, commands)
    case 'session.revoked':
      // The denylist entry is written before the decision, and is not a row.
      return { ...applied(), entity: `session:${part.sid}` }
    case 'ignored':
      return stopped('ignored', part.why)
  }
}
