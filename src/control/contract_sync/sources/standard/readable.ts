/**
 * What can be read of a snapshot, a delta or a participation that is invalid otherwise: enough for what it takes away. Pure.
 *
 * Each member stands for itself. One that is missing or invalid is not there, so that a misspelt member takes nothing from
 * anybody, and an end, a downgrade or a withdrawal next to it still counts.
 */
import * as z from 'zod'
import { instant } from '../../../entities/fields.ts'
import type { ContractDelta, ContractPart, External, PhasePart } from '../../events.ts'
import { contractNumber, named } from '../names.ts'
import { flags, MAX_PHASES, name, revision, status } from './schema.ts'

const ENDED = ['paused', 'unpaid', 'cancelled', 'expired']

const maybe = <Schema extends z.ZodType>(schema: Schema) => schema.optional().catch(undefined)

/** As others spell it. */
const spelled = z.preprocess((value) => {
  const word = typeof value === 'string' ? value.trim().toLowerCase() : value
  return word === 'canceled' ? 'cancelled' : word
}, status)

const DAY_AND_A_HALF_MS = 36 * 3_600_000
/** The end of a day without an offset, where it is latest on Earth. */
const dayEnd = z.iso.date().transform((day) => new Date(Date.parse(day) + DAY_AND_A_HALF_MS).toISOString())
const end = z.union([instant, dayEnd]).nullable()

const members = {
  status: maybe(spelled),
  plan: maybe(name.nullable()),
  from: maybe(instant),
  to: maybe(end),
}

const snapshot = z.object({
  data: z.object({
    contract: contractNumber,
    revision,
    phases: z.array(z.object({ ...members, add: maybe(flags) })).max(MAX_PHASES),
  }),
})
const delta = z.object({
  data: z.object({
    contract: contractNumber,
    revision,
    base_revision: maybe(revision),
    changes: z.object({ ...members, remove: maybe(flags), phase: z.int().min(1).optional() }),
  }),
})
const beta = z.object({
  data: z.object({
    org: name,
    flag: name,
    from: maybe(instant),
    to: maybe(end),
    revision: revision.optional(),
  }),
})

type Origin = Pick<ContractPart, 'source' | 'system'>
type Read = z.output<typeof snapshot>['data']['phases'][number]

export function readableSnapshot(origin: Origin, payload: unknown): ContractPart | undefined {
  const read = snapshot.safeParse(payload)
  if (!read.success) return undefined
  const { contract, revision, phases } = read.data.data
  const over = phases.every(({ status }) => status !== undefined && ENDED.includes(status))
  // Which of several phases is when must be known.
  const whole = phases.every(({ from, to }) => from !== undefined && to !== undefined)
  if (phases.length > 1 && !whole && !over) return undefined
  return {
    ...origin,
    type: 'contract.part',
    contract,
    revision,
    phases: over ? phases.slice(0, 1).map(({ status }) => ({ status })) : phases.filter(lasts).map(asPart),
  }
}

const lasts = ({ from, to }: Pick<Read, 'from' | 'to'>): boolean =>
  from === undefined || to === undefined || to === null || from < to

const asPart = ({ plan, add, ...phase }: Read): PhasePart => ({
  ...phase,
  plan: planOf(plan),
  add: add?.map((flag) => named('flag', flag)),
})

const planOf = (plan: string | null | undefined): External | null | undefined =>
  typeof plan === 'string' ? named('plan', plan) : plan

export function readableDelta(origin: Origin, payload: unknown): ContractDelta | undefined {
  const read = delta.safeParse(payload)
  if (!read.success) return undefined
  const { contract, revision, base_revision = revision, changes } = read.data.data
  const { plan, remove, ...rest } = changes
  const given = Object.entries(rest).filter(([, value]) => value !== undefined)
  return {
    ...origin,
    type: 'contract.delta',
    contract,
    revision,
    base_revision,
    changes: {
      ...Object.fromEntries(given),
      ...(plan !== undefined && { plan: planOf(plan) }),
      ...(remove && { remove: remove.map((flag) => named('flag', flag)) }),
    },
  }
}

/** @param at - its revision where it has none of its own */
export function readableBeta(origin: Origin, payload: unknown, at: number): ContractPart | undefined {
  const read = beta.safeParse(payload)
  if (!read.success) return undefined
  const { org, flag, from, to, revision = at } = read.data.data
  const phases = lasts({ from, to }) ? [{ from, to }] : []
  return { ...origin, type: 'contract.part', contract: `beta:${org}:${flag}`, revision, phases }
}
