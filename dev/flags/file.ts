/**
 * The file of flags and plans: its schema, reading it with the line of every fault, and writing it. Pure.
 *
 * Members are checked by the schemas of the control plane's own routes, so that what passes here is not refused there for
 * its form. Kill switches belong to incidents, not to intent, and are not in the file; nor are grants and contracts.
 */
import { Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'
import { environmentName } from '../../src/control/entities/fields.ts'
import { FLAG_STATES, flagCreation, ruleChange } from '../../src/control/flags/schemas.ts'
import { planCreation } from '../../src/control/plans/schemas.ts'
import { UsageError } from '../cli.ts'
import { printableLine } from '../printable.ts'

const FORMAT = 1
/** Faults that are reported at once. */
const MAX_FAULTS = 20
const LINE_WIDTH = 110

const { key, name, description, kind, owner, tags } = flagCreation.shape
const { no_plan_reason, review_every_days, retire_by, revoke_on_loss } = flagCreation.shape

const rule = z.strictObject({
  access: ruleChange.shape.access,
  percentage: ruleChange.shape.percentage,
})

const flag = z
  .strictObject({
    name,
    description,
    kind,
    owner,
    tags,
    state: z.enum(FLAG_STATES),
    no_plan_reason: no_plan_reason.unwrap().nullable().default(null),
    review_every_days,
    retire_by,
    revoke_on_loss: revoke_on_loss.unwrap().default(false),
    rules: z.record(environmentName, rule).default({}),
  })
  .superRefine((flag, context) => {
    const wrong = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (flag.kind === 'rollout' && flag.review_every_days !== undefined)
      wrong('review_every_days', 'Only an entitlement has reviews; a rollout has a retire_by')
    if (flag.kind === 'entitlement' && flag.retire_by !== undefined)
      wrong('retire_by', 'Only a rollout has a retire_by; an entitlement has reviews')
    if (flag.kind === 'rollout' && flag.retire_by === undefined)
      wrong('kind', 'A rollout needs a date by which it must end: retire_by: "2027-01-31T00:00:00Z"')
  })

const plan = z.strictObject({
  name: planCreation.shape.name,
  description: planCreation.shape.description,
  flags: planCreation.shape.flags,
  grace_days: planCreation.shape.grace_days,
})

const flagsFile = z.strictObject({
  format: z.literal(FORMAT, `must be ${FORMAT}`),
  flags: z.record(key, flag).default({}),
  plans: z.record(planCreation.shape.key, plan).default({}),
})

export type FlagsFile = z.output<typeof flagsFile>
export type FileFlag = FlagsFile['flags'][string]
export type FilePlan = FlagsFile['plans'][string]
export type Path = readonly PropertyKey[]

/** Something that is wrong, and where. */
export interface Fault {
  readonly path: Path
  readonly message: string
}

export interface ParsedFile {
  readonly file: FlagsFile
  /** `flags.yaml:12: flags.sso.kind: …`, one a line. */
  describe(faults: readonly Fault[]): string
}

/**
 * @param name - of the file, for errors
 * @throws UsageError with everything that is wrong
 */
export function parseFlagsFile(text: string, name: string): ParsedFile {
  const lines = new LineCounter()
  const document = parseDocument(withoutBanner(text), { lineCounter: lines, prettyErrors: false })
  const at = (offset: number) => `${name}:${lines.linePos(offset).line}`
  if (document.errors.length > 0) {
    const reported = document.errors.slice(0, MAX_FAULTS)
    throw new UsageError(reported.map(({ pos, message }) => `${at(pos[0])}: ${message}`).join('\n'))
  }
  const describe = (faults: readonly Fault[]): string => {
    const reported = faults
      .map(({ path, message }) => ({ offset: offsetOf(document, path), text: `${dotted(path)}${message}` }))
      .sort((a, b) => a.offset - b.offset)
      .slice(0, MAX_FAULTS)
      .map(({ offset, text }) => `${at(offset)}: ${text}`)
    const more = faults.length - reported.length
    return [...reported, ...(more > 0 ? [`… and ${more} more.`] : [])].join('\n')
  }
  const parsed = flagsFile.safeParse(contentOf(document, name) ?? {})
  if (!parsed.success) throw new UsageError(describe(parsed.error.issues.flatMap(faultsOf)))
  return { file: parsed.data, describe }
}

/** @throws UsageError for aliases that unfold into more than anybody writes */
function contentOf(document: Document.Parsed, name: string): unknown {
  try {
    return document.toJS()
  } catch {
    throw new UsageError(`${name}: its aliases unfold into too much; write the values out.`)
  }
}

/** Removes what npm prints before the output of a script, if it was redirected too. Line numbers do not change. */
function withoutBanner(text: string): string {
  const [head = ''] = /^(?:[ \t]*\r?\n)*(?:> .*\r?\n)+/.exec(text) ?? []
  return head.replace(/[^\n]/g, '') + text.slice(head.length)
}

function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'is unknown' }))
  }
  if (issue.code === 'invalid_key') {
    return [{ path: issue.path, message: issue.issues[0]?.message ?? issue.message }]
  }
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
  return [{ path: issue.path, message: missing ? 'is missing' : issue.message }]
}

const dotted = (path: Path): string =>
  path.length === 0 ? '' : `${path.map((part) => printableLine(String(part))).join('.')}: `

/** Where the member begins, or the nearest parent that exists. */
function offsetOf(document: Document.Parsed, path: Path): number {
  let node: unknown = document.contents
  let offset = document.contents?.range[0] ?? 0
  for (const segment of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment))
      if (!pair) break
      offset = (pair.key as Node).range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(segment)]
      offset = (node as Node | undefined)?.range?.[0] ?? offset
    } else break
  }
  return offset
}

const HEAD = ` Flags and plans as code, for "npm run flags --": see docs/flags-as-code.md.

   npm run flags -- plan flags.yaml     shows what would change, and for whom; exits with 2 if anything would
   npm run flags -- apply flags.yaml    applies it, or makes a change request where a policy requires approval

 What is not in this file is not changed. Kill switches are not in it: they belong to incidents.`

/** The text of a file, with everything in a fixed order, so that two exports differ only where the control plane does. */
export function printFlagsFile({ flags, plans }: Pick<FlagsFile, 'flags' | 'plans'>): string {
  const document = new Document({
    format: FORMAT,
    flags: sorted(flags, printedFlag),
    plans: sorted(plans, printedPlan),
  })
  document.commentBefore = HEAD
  for (const section of ['flags', 'plans']) {
    const map = document.get(section)
    if (!isMap(map)) continue
    for (const [position, { key }] of map.items.entries()) (key as Node).spaceBefore = position > 0
  }
  const top = isMap(document.contents) ? document.contents.items : []
  for (const { key } of top.slice(1)) (key as Node).spaceBefore = true
  for (const flag of Object.keys(flags)) {
    for (const environment of Object.keys(flags[flag]?.rules ?? {})) {
      setFlow(document.getIn(['flags', flag, 'rules', environment], true))
    }
    setFlow(document.getIn(['flags', flag, 'tags'], true))
  }
  return document.toString({ lineWidth: LINE_WIDTH, flowCollectionPadding: true })
}

function setFlow(node: unknown): void {
  if (isMap(node) || isSeq(node)) node.flow = true
}

const sorted = <T, U>(all: Record<string, T>, print: (one: T) => U): Record<string, U> =>
  Object.fromEntries(
    Object.keys(all)
      .sort()
      .map((key) => [key, print(all[key] as T)]),
  )

function printedFlag(flag: FileFlag): object {
  const { no_plan_reason, review_every_days, retire_by, revoke_on_loss } = flag
  return {
    name: flag.name,
    ...(flag.description !== '' && { description: flag.description }),
    kind: flag.kind,
    owner: flag.owner,
    ...(flag.tags.length > 0 && { tags: flag.tags.toSorted() }),
    state: flag.state,
    ...(no_plan_reason !== null && { no_plan_reason }),
    ...(review_every_days !== undefined && { review_every_days }),
    ...(retire_by !== undefined && { retire_by }),
    ...(revoke_on_loss && { revoke_on_loss }),
    // In the order of promotion, as the control plane lists them.
    rules: Object.fromEntries(
      Object.entries(flag.rules).map(([environment, { access, percentage }]) => [
        environment,
        { access, ...(percentage !== null && { percentage }) },
      ]),
    ),
  }
}

const printedPlan = ({ name, description, flags, grace_days }: FilePlan): object => ({
  name,
  ...(description !== '' && { description }),
  flags: flags.toSorted(),
  grace_days,
})
