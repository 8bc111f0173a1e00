/**
 * What an event changes, on what is known after the events before it: each of its parts for itself, so that one that is
 * not known waits alone. Does I/O through `Known`.
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
  /** Why only what it takes away may be applied. */
  readonly held?: string | undefined
  /** Why an event comes to nothing because of a later one about the same that was applied, of these types if named. */
  passed(entity: string, revision: number, types?: readonly string[]): Promise<Verdict | undefined>
}

export async function applyEvent(parsed: Parsed, context: Ordered, commands: Commands): Promise<Verdict> {
  if (!parsed.ok) {
    const unread = quarantined(parsed.reason, parsed.detail)
    if (!parsed.ends) return unread
    // That it is over can be read, whatever else cannot.
    const ended = await applyContract(parsed.ends, context)
    return { ...ended, ...{ state: unread.state, problem: unread.problem, detail: unread.detail, needs: [] } }
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
      // It stands on the denylist before anything is decided, and is no row.
      return { ...applied(), entity: `session:${part.sid}` }
    case 'ignored':
      return stopped('ignored', part.why)
  }
}
