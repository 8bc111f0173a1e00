/**
 * Why a flag is on or off, in words, and which command would change it. Pure.
 */
import type { Decision, Reason } from '../../src/core/evaluate.ts'

const WORDS: Readonly<Record<Reason, string>> = {
  killed: 'killed for everybody',
  rule_none: 'its rule gives it to nobody',
  denied: 'denied by a grant',
  rule_all: 'its rule gives it to everybody',
  beta: 'granted, as part of a beta',
  support: 'granted by support',
  override: 'granted by hand',
  import: 'granted by an import',
  contract: 'the contract pays for it',
  rollout: 'inside the percentage rollout',
  default: 'no rule, grant or contract gives it',
}

export const inWords = ({ reason }: Decision): string => WORDS[reason]

export interface Explanation {
  why: string
  /** What follows `npm run entitle --` to change it, and what that is for. */
  remedy?: { purpose: string; command: string }
}

/**
 * Why a command made no difference.
 *
 * @param asked - how the flag should have become; `undefined` where that was left to contract and rule
 * @param subject - the id, with ` --user` where it is a user's
 */
export function explainNoChange(
  decision: Decision,
  asked: boolean | undefined,
  subject: { id: string; option: string },
): Explanation {
  const { flag, on, reason } = decision
  const why = `${flag} ${on === asked ? 'was already' : 'stays'} ${on ? 'on' : 'off'}: ${WORDS[reason]} (${reason}).`
  if (on === asked) return { why }
  const target = `${subject.id} ${flag}${subject.option}`
  if (on) return { why, remedy: { purpose: 'To take it away anyway', command: `deny ${target}` } }
  switch (reason) {
    case 'killed':
      return {
        why: `${flag} is killed for everybody, whatever grants and contracts say (killed).`,
        remedy: { purpose: 'To switch it on again', command: `rule ${flag} --revive` },
      }
    case 'rule_none':
      return { why, remedy: { purpose: 'To let grants and contracts decide', command: `rule ${flag} some` } }
    case 'denied':
      return { why, remedy: { purpose: 'To end the denial', command: `revoke ${target}` } }
    default:
      return { why, remedy: { purpose: 'To grant it', command: `grant ${target}` } }
  }
}
