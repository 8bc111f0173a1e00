/** A difference, its effect and a promotion as a person reads them in a terminal or in the log of a pipeline. Pure. */
import { paint } from '../cli.ts'
import type { Difference, Entry } from './difference.ts'
import type { Counted, Effect, Subjects } from './requests.ts'

const INDENT = '    '
/** Ids named on each side of a flag's effect. */
const MAX_NAMED = 10

export function differenceText({ entries, killed, leftAlone }: Difference): string {
  const lines = entries.flatMap((entry) => [...entryLines(entry), ''])
  if (entries.length === 0) lines.push('No difference: the control plane matches the file.', '')
  for (const { flag, environment } of killed) {
    lines.push(paint('yellow', `! ${flag} is killed in ${environment}; the file does not change that`))
  }
  const alone = [
    ...leftAlone.flags.map((key) => `flag ${key}`),
    ...leftAlone.plans.map((key) => `plan ${key}`),
  ]
  if (alone.length > 0) lines.push(paint('dim', `Not in the file, not changed: ${alone.join(', ')}`))
  if (entries.length > 0) lines.push(`${summary(entries)}.`)
  return lines.join('\n').trimEnd()
}

function entryLines({ kind, key, isNew, members }: Entry): string[] {
  const title = isNew ? paint('green', `+ ${kind} ${key}`) : paint('yellow', `~ ${kind} ${key}`)
  const width = Math.max(...members.map(({ name }) => name.length))
  return [
    title,
    ...members.map(({ name, before, after }) => {
      const label = `${INDENT}${name.padEnd(width)}  `
      if (isNew || before === undefined) return label + paint('green', valueText(after))
      if (Array.isArray(before) && Array.isArray(after)) return label + listText(before, after)
      return `${label}${paint('red', valueText(before))} → ${paint('green', valueText(after))}`
    }),
  ]
}

const valueText = (value: unknown): string => {
  if (value === null) return '(none)'
  if (Array.isArray(value)) return value.length === 0 ? '(none)' : value.join(', ')
  return typeof value === 'string' && (value === '' || value.includes('\n'))
    ? JSON.stringify(value)
    : String(value)
}

const listText = (before: readonly string[], after: readonly string[]): string =>
  [
    ...after.filter((one) => !before.includes(one)).map((one) => paint('green', `+${one}`)),
    ...before.filter((one) => !after.includes(one)).map((one) => paint('red', `-${one}`)),
  ].join(' ')

function summary(entries: readonly Entry[]): string {
  const counted = (isNew: boolean, kind: Entry['kind']) =>
    entries.filter((entry) => entry.isNew === isNew && entry.kind === kind).length
  const counts = [
    [counted(true, 'flag'), 'flag to create', 'flags to create'],
    [counted(false, 'flag'), 'flag to change', 'flags to change'],
    [counted(true, 'plan'), 'plan to create', 'plans to create'],
    [counted(false, 'plan'), 'plan to change', 'plans to change'],
  ] as const
  return counts
    .filter(([count]) => count > 0)
    .map(([count, one, several]) => `${count} ${count === 1 ? one : several}`)
    .join(', ')
}

export function effectText({ changes }: Effect): string {
  if (changes.length === 0) return 'Nobody gains or loses anything.'
  return ['Who gains and who loses:', ...changes.flatMap(changeLines)].join('\n')
}

const changeLines = ({ environment, flag, at, gained, lost }: Effect['changes'][number]): string[] => [
  `  ${environment}: ${flag}${at === null ? '' : ` from ${at}`}`,
  ...sideLines('gained by', gained, 'green'),
  ...sideLines('lost by', lost, 'red'),
]

function sideLines(verb: string, { organizations, users }: Subjects, colour: 'green' | 'red'): string[] {
  return [...countedLine(organizations, 'organization'), ...countedLine(users, 'user')].map(
    (text) => `${INDENT}${paint(colour, verb)} ${text}`,
  )
}

function countedLine({ count, ids }: Counted, noun: string): string[] {
  if (count === 0) return []
  const named = ids.slice(0, MAX_NAMED)
  const more = count > named.length ? `, … (${count - named.length} more)` : ''
  return [`${count} ${noun}${count === 1 ? '' : 's'}: ${named.join(', ')}${more}`]
}

export const approvalText = (guarded: readonly string[], required: number): string =>
  guarded.length === 0
    ? 'No policy requires approval.'
    : paint(
        'yellow',
        `The policy of ${guarded.join(' and ')} requires approval by ${required === 1 ? 'somebody else' : `${required} others`}.`,
      )

export interface PromotionView {
  readonly from: string
  readonly to: string
  readonly items: readonly PromotedRule[]
  readonly left_out: readonly PromotedRule[]
  readonly contradictions: readonly {
    readonly kind: 'paid_lost' | 'unpaid_given'
    readonly flag: string
    readonly organizations: Counted
  }[]
}
interface PromotedRule {
  readonly flag: string
  readonly from: Side
  readonly to: Side
}
interface Side {
  readonly access: string
  readonly percentage: number | null
  readonly killed: boolean
}

export function promotionText({ from, to, items, left_out, contradictions }: PromotionView): string {
  const width = Math.max(0, ...items.map(({ flag }) => flag.length))
  const lines = items.map(({ flag, ...sides }) => {
    const killed = sides.to.killed ? paint('yellow', ` (stays killed in ${to})`) : ''
    const change = `${paint('red', sideText(sides.to))} → ${paint('green', sideText(sides.from))}`
    return `${paint('yellow', '~')} ${flag.padEnd(width)}  ${change}${killed}`
  })
  if (items.length === 0) lines.push(`Nothing to promote: ${to} has the rules of ${from}.`)
  if (left_out.length > 0)
    lines.push(paint('dim', `Left out: ${left_out.map(({ flag }) => flag).join(', ')}`))
  for (const { kind, flag, organizations } of contradictions) {
    const [who] = countedLine(organizations, 'organization')
    const why =
      kind === 'paid_lost'
        ? 'is paid for by a contract, and would be lost by'
        : 'is sold, and would be given without a contract to'
    lines.push(paint('red', `✗ ${flag} ${why} ${who}`))
  }
  return lines.join('\n')
}

const sideText = ({ access, percentage }: Side): string =>
  percentage === null ? access : `${access} ${percentage} %`
