/**
 * The command that takes over a flag's rule and targets from another system: as one, so that it can be asked for, looked
 * at and approved as one. A click at a vendor is no agreement, and what it gives is checked as a promotion is.
 */
import { z } from '@hono/zod-openapi'
import { err, ok, type Result } from '../../core/result.ts'
import { commandBook, commandKind, type Decision, type Step, type Why } from '../changes/command.ts'
import type { GrantRow, RuleRow } from '../db/rows.ts'
import { environmentName, externalId, flagKey } from '../model/fields.ts'
import type { Refusal } from '../refusals.ts'
import { EDITORS } from '../roles.ts'
import { sourceName } from './fields.ts'

