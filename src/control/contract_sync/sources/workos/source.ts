/**
 * WorkOS: the targets of its flags, its organizations, and sessions that it ended.
 *
 * Only `flag.rule_updated` contains a whole rule. An event's `created_at` has milliseconds and orders them, by the name of
 * what they are about: a flag that was deleted can be made again under its slug.
 *
 * @see https://workos.com/docs/events
 */
import * as z from 'zod'
import { FLAG_KEY } from '../../../../core/names.ts'
import { err, ok } from '../../../../core/result.ts'
import { externalId, instant } from '../../../entities/fields.ts'
import type { External, FlagTargets } from '../../events.ts'
import { textBytes } from '../../signature.ts'
import { candidates, displayName } from '../names.ts'
import { payloadInvalid } from '../payload.ts'
import { configured, type SourceKind, secrets } from '../settings.ts'
import type { Parsed, Source } from '../source.ts'
import { verify } from './verify.ts'

export interface WorkosOptions {
  /** The secrets of the endpoint: several while one is rotated. */
  readonly secrets: readonly string[]
  /** The environment here that this WorkOS environment belongs to. */
  readonly environment: string
  /** Whether clicks at WorkOS are subject to the policy of that environment. */
  readonly asksPolicy: boolean
}

const vars = z.object({
  WORKOS_WEBHOOK_SECRETS: secrets('WorkOS shows them'),
  WORKOS_APPROVALS: z.enum(['policy', 'skip'], 'must be policy or skip').optional(),
})

export const workos: SourceKind = (all, { environments }) => {
  const own = vars.extend({
    WORKOS_ENVIRONMENT: z.enum(environments, 'must be one of ENVIRONMENTS').optional(),
  })
  return configured(all, 'WORKOS_WEBHOOK_SECRETS', own, (read) => {
    const environment = read.WORKOS_ENVIRONMENT ?? environments.at(-1) ?? ''
    const asksPolicy = read.WORKOS_APPROVALS !== 'skip'
    return [['workos', workosSource({ secrets: read.WORKOS_WEBHOOK_SECRETS, environment, asksPolicy })]]
  })
}

const bodySchema = z.object({ created_at: instant, data: z.unknown(), context: z.unknown().optional() })

/** Resources that are unrelated to entitlements. */
const FOREIGN = new Set(
  `action api_key authentication connection dsync email_verification group invitation magic_auth organization_domain
   organization_membership organization_role password_reset permission role session user vault`.split(/\s+/),
)

const targets = z.array(z.object({ id: externalId }))
const flagSchema = z.object({
  id: externalId,
  slug: z.string().min(1).max(128),
  enabled: z.boolean(),
  default_value: z.boolean(),
})
const ruleSchema = z.object({
  access_type: z.enum(['none', 'some', 'all']),
  configured_targets: z.object({ organizations: targets, users: targets }),
})
const previousSchema = z.object({
  previous_attributes: z
    .object({ data: z.object({ enabled: z.boolean().optional() }).optional() })
    .optional(),
})
const organizationSchema = z.object({
  id: externalId,
  name: z.string(),
  stripe_customer_id: externalId.nullish(),
})
const sessionSchema = z.object({ id: externalId, user_id: externalId })

export function workosSource(options: WorkosOptions): Source {
  const keys = options.secrets.map(textBytes)
  return {
    name: 'workos',
    idIsEnough: true,
    verify: (delivery) => verify(keys, delivery),
    async parse(event) {
      const body = bodySchema.safeParse(event.payload)
      if (!body.success) return payloadInvalid({ '': body.error })
      const { created_at, data, context } = body.data
      const parsed = parse(event.type, options.environment, Date.parse(created_at), data, context)
      if (!parsed.ok || options.asksPolicy) return parsed
      return ok(parsed.value.map((part) => ('click' in part ? { ...part, click: false } : part)))
    },
  }
}

/** @param at - epoch milliseconds */
function parse(type: string, environment: string, at: number, data: unknown, context: unknown): Parsed {
  switch (type) {
    case 'flag.created':
      // Nobody has it yet, and a flag here with its name must not lose anybody by that.
      return ok([{ type: 'ignored', why: 'flag_without_rule' }])
    case 'flag.updated':
      return flagUpdated(environment, at, data, context)
    case 'flag.rule_updated':
      return ruleUpdated(environment, at, data, context)
    case 'flag.deleted': {
      const flag = flagSchema.safeParse(data)
      if (!flag.success) return payloadInvalid({ data: flag.error })
      const none = { access: 'none' as const, targets: { organizations: [], users: [] }, deleted: true }
      return ok([{ ...targetsOf(environment, revisionOf(at, 2), flag.data), ...none }])
    }
    case 'organization.created':
    case 'organization.updated':
    case 'organization.deleted':
      return organization(type, at, data)
    case 'session.revoked': {
      const session = sessionSchema.safeParse(data)
      if (!session.success) return payloadInvalid({ data: session.error })
      const { id: sid, user_id: user } = session.data
      return ok([{ type: 'session.revoked', source: 'workos', environment, sid, user }])
    }
    default: {
      const foreign = type !== 'session.revoked' && FOREIGN.has(type.split('.', 1)[0] ?? '')
      return foreign ? ok([{ type: 'ignored', why: 'foreign_type' }]) : err('unknown_type')
    }
  }
}

function ruleUpdated(environment: string, at: number, data: unknown, context: unknown): Parsed {
  const flag = flagSchema.safeParse(data)
  const rule = ruleSchema.safeParse(context)
  if (!flag.success || !rule.success) return payloadInvalid({ data: flag.error, context: rule.error })
  const { access_type, configured_targets } = rule.data
  return ok([
    {
      ...targetsOf(environment, revisionOf(at, 1), flag.data),
      access: flag.data.enabled ? access_type : 'none',
      targets: {
        organizations: configured_targets.organizations.map(({ id }) => orgName(id)),
        users: configured_targets.users.map(({ id }) => id),
      },
    },
  ])
}

/** Lists no targets, but may switch the flag off, or on again for its targets. */
function flagUpdated(environment: string, at: number, data: unknown, context: unknown): Parsed {
  const flag = flagSchema.safeParse(data)
  const previous = previousSchema.safeParse(context ?? {})
  if (!flag.success || !previous.success) return payloadInvalid({ data: flag.error, context: previous.error })
  const { enabled, default_value } = flag.data
  const switchedOn = previous.data.previous_attributes?.data?.enabled === false
  if (enabled && !switchedOn) return ok([{ type: 'ignored', why: 'flag_without_rule' }])
  const access = enabled ? (default_value ? 'all' : 'some') : 'none'
  return ok([{ ...targetsOf(environment, revisionOf(at, 0), flag.data), access, targets: null }])
}

/**
 * Of one millisecond, what says more comes later: a rule after an update of its flag, an update after a creation, and a
 * deletion last. It is the order of the name, not of one id: what was deleted can be made again under its name.
 */
const revisionOf = (at: number, rank: 0 | 1 | 2): number => at * 10 + rank

const targetsOf = (
  environment: string,
  revision: number,
  flag: z.infer<typeof flagSchema>,
): Omit<FlagTargets, 'access' | 'targets'> => ({
  type: 'flag.targets',
  source: 'workos',
  environment,
  flag: flagName(flag),
  revision,
  deleted: false,
  click: true,
})

/** A slug is a name that people chose, most likely the one here. */
function flagName({ id, slug }: z.infer<typeof flagSchema>): External {
  const name = { kind: 'flag' as const, candidates: candidates(slug, id) }
  return FLAG_KEY.test(slug) ? { ...name, ours: slug } : name
}

/** WorkOS's id is the `org_id` in tokens. */
const orgName = (id: string): External => ({ kind: 'org', candidates: [id], ours: id })

function organization(
  type: 'organization.created' | 'organization.updated' | 'organization.deleted',
  at: number,
  data: unknown,
): Parsed {
  const parsed = organizationSchema.safeParse(data)
  if (!parsed.success) return payloadInvalid({ data: parsed.error })
  const { id, name, stripe_customer_id } = parsed.data
  const org = orgName(id)
  if (type === 'organization.deleted') {
    return ok([{ type: 'org.deleted', source: 'workos', org, revision: revisionOf(at, 2) }])
  }
  const revision = revisionOf(at, type === 'organization.created' ? 0 : 1)
  const upserted = {
    type: 'org.upserted',
    source: 'workos',
    org,
    name: displayName(name, id),
    revision,
  } as const
  return typeof stripe_customer_id === 'string'
    ? ok([
        upserted,
        {
          type: 'org.linked',
          source: 'stripe',
          external_id: stripe_customer_id,
          org: id,
          confirmed: true,
          click: true,
        },
      ])
    : ok([upserted])
}
