/** The route of promotions: previews or requests what differs between an environment and the next. */
import { z } from '@hono/zod-openapi'
import { changeSchema, viewChange } from '../change_requests/view.ts'
import { contradictionSchema, effectSchema, viewContradiction } from '../effects/view.ts'
import { environmentName, flagKey, instant, why } from '../entities/fields.ts'
import type { Api } from '../http/context.ts'
import { write } from '../http/write.ts'
import { because, commandRegistry } from '../ledger/command.ts'
import type { ChangeRequestEdit } from '../ledger/commit.ts'
import { EDITORS } from '../roles.ts'
import { type PromotionDetail, promoteCommand, rulePromote } from './commands.ts'

const MAX_NAMED = 1000

const promotion = z.object({
  from: environmentName.openapi({ example: 'staging' }),
  to: environmentName.openapi({ description: 'The environment after it.' }),
  leave_out: z.array(flagKey).max(MAX_NAMED).default([]).openapi({
    description: 'Flags that are not promoted, although they differ.',
  }),
  flags: z.array(flagKey).min(1).max(MAX_NAMED).optional().openapi({ description: 'Only these.' }),
  apply_at: instant.nullable().default(null),
  ...why,
})

const side = z.object({
  access: z.enum(['none', 'some', 'all']),
  percentage: z.number().nullable(),
  killed: z
    .boolean()
    .openapi({ description: 'Kill switches are not promoted: each environment keeps its own.' }),
  revision: z.int(),
})
const differing = z.object({ flag: z.string(), from: side, to: side })

const promoted = z
  .object({
    from: z.string(),
    to: z.string(),
    items: z.array(differing),
    left_out: z.array(differing),
    effect: effectSchema,
    contradictions: z.array(contradictionSchema).openapi({
      description: 'Contracts that contradict the promotion. A dry run shows them; otherwise it is refused.',
    }),
    change: changeSchema.nullable().openapi({ description: 'The change request; null: a dry run.' }),
  })
  .openapi('Promotion')

export const promotionCommands = commandRegistry(rulePromote)

export function promotionRoutes(api: Api): void {
  write<typeof promotion, ChangeRequestEdit>(api, {
    method: 'post',
    path: '/promotions',
    tag: 'Approvals',
    summary: 'Promote rules from an environment to the next one',
    description:
      'Carries access and percentage of every live or retiring flag that differs. It becomes a change request, which is approved at once where no policy requires approval. A dry run shows both sides, who gains and who loses, and what contradicts a contract; use leave_out to exclude flags.',
    roles: EDITORS,
    body: promotion,
    data: promoted,
    status: 201,
    command: ({ body: { reason, ticket, ...promotion }, control, dryRun }) =>
      promoteCommand(promotion, because({ reason, ticket }), control.commands, dryRun),
    view(row, detail) {
      const { from, to, taken, leftOut, contradictions, dryRun } = detail as PromotionDetail
      return {
        from,
        to,
        items: taken,
        left_out: leftOut,
        effect: row.effect,
        contradictions: contradictions.map(viewContradiction),
        change: dryRun ? null : viewChange(row),
      }
    },
  })
}
