/**
 * The canonical events of agreements, as a CRM sends them. Pure; the JSON Schemas in `docs/schemas/` are made from these.
 *
 * The envelope is CloudEvents 1.0 and open to extensions; in `data`, an unknown member is refused, so that a misspelt
 * `grace_untl` is not ignored. Names are accepted in any form: a malformed one stops the part that it names, not the rest.
 */
import * as z from 'zod'
import { instant } from '../../../entities/fields.ts'
import { FINAL } from '../../events.ts'
import { contractNumber } from '../names.ts'

export const MAX_PHASES = 20
const MAX_FLAGS = 100

export const revision = z
  .int()
  .min(1)
  .max(FINAL - 1)
  .describe('The contract’s own: each change of the contract has a higher one.')
export const name = z.string().min(1).max(128)
export const flags = z.array(name).max(MAX_FLAGS)
export const status = z
  .enum(['trialing', 'active', 'past_due', 'paused', 'unpaid', 'cancelled', 'expired'])
  .describe('trialing and active grant; past_due grants until the grace ends; the others do not.')

const phase = z
  .strictObject({
    plan: name.nullable().describe('A plan’s key, or a name that is mapped to one; null: add-ons only.'),
    add: flags.default([]).describe('Flags that are paid for besides the plan’s.'),
    status,
    from: instant,
    to: instant.nullable().describe('Exclusive; null: without an end.'),
    grace_until: instant.nullable().optional().describe('Only if it is not as the plan says.'),
  })
  .refine(({ from, to }) => to === null || from < to, 'must end after it begins')

const follows = (phases: readonly { from: string; to: string | null }[]): boolean =>
  phases.every(({ from }, index) => {
    const before = phases[index - 1]
    return !before || (before.to !== null && before.to <= from)
  })

const JSON_TYPE = /^application\/json *(; *charset="?utf-8"? *)?$/i

const envelope = <Type extends string, Data extends z.ZodType>(type: Type, data: Data) =>
  z.looseObject({
    specversion: z.literal('1.0'),
    id: z.string().min(1).max(128),
    source: z.string().min(1).max(200).describe('Your system, as a URI reference: its own numbers.'),
    type: z.literal(type),
    time: instant.optional().describe('When it happened; without it, when it was sent.'),
    datacontenttype: z.string().regex(JSON_TYPE).optional(),
    data,
  })

export const contractSnapshot = envelope(
  'contract.snapshot.v1',
  z.strictObject({
    contract: contractNumber,
    org: name.describe('The organization, as in org_id of tokens, or a name that is mapped to it.'),
    revision,
    phases: z
      .array(phase)
      .min(1)
      .max(MAX_PHASES)
      .refine(follows, 'must follow each other')
      .describe('In order of time, without overlap. All of the contract: what is not here is no more.'),
  }),
)

const changes = z
  .strictObject({
    phase: z.int().min(1).max(MAX_PHASES).optional().describe('Counted from 1; without it, every phase.'),
    status: status.optional(),
    plan: name.nullable().optional(),
    add: flags.optional().describe('Add-ons to add.'),
    remove: flags.optional().describe('Add-ons to take away.'),
    from: instant.optional(),
    to: instant.nullable().optional(),
    grace_until: instant.nullable().optional(),
  })
  .refine(({ phase: _, ...rest }) => Object.keys(rest).length > 0, 'must change something')

export const contractDelta = envelope(
  'contract.delta.v1',
  z
    .strictObject({
      contract: contractNumber,
      revision,
      base_revision: revision.describe(
        'The revision that it is a change of. Until that is applied, it waits.',
      ),
      changes,
    })
    .refine((delta) => delta.base_revision < delta.revision, 'must be based on an earlier revision'),
)

export const betaSnapshot = envelope(
  'beta.snapshot.v1',
  z.strictObject({
    org: name.describe('The organization that takes part.'),
    flag: name.describe('A flag’s key, or a name that is mapped to one.'),
    from: instant,
    to: instant.nullable().describe('Exclusive; not after from: it takes part no more.'),
    revision: revision.optional().describe('The participation’s own; without it, time orders.'),
  }),
)

/** The JSON Schema for senders. */
export const jsonSchema = (schema: z.ZodType): object => z.toJSONSchema(schema, { io: 'input' })
