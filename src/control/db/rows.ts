/** The rows of the tables, as types. Separate from the connection, so that code outside of a Worker can use them. */
import type { InferSelectModel } from 'drizzle-orm'
import type * as schema from './schema.ts'

export type FlagRow = InferSelectModel<typeof schema.flags>
export type RuleRow = InferSelectModel<typeof schema.rules>
export type PlanRow = InferSelectModel<typeof schema.plans>
export type OrganizationRow = InferSelectModel<typeof schema.organizations>
export type ContractRow = InferSelectModel<typeof schema.contracts>
export type GrantRow = InferSelectModel<typeof schema.grants>
export type AuditRow = InferSelectModel<typeof schema.audit>
export type DocumentRow = InferSelectModel<typeof schema.documents>
export type ApiKeyRow = InferSelectModel<typeof schema.api_keys>
export type PolicyRow = InferSelectModel<typeof schema.policies>
export type ChangeRequestRow = InferSelectModel<typeof schema.change_requests>
export type PersonRow = InferSelectModel<typeof schema.people>
export type MintRow = InferSelectModel<typeof schema.mints>
export type MappingRow = InferSelectModel<typeof schema.mappings>
export type InboxRow = InferSelectModel<typeof schema.inbox>
export type FindingRow = InferSelectModel<typeof schema.findings>
export type AgreementRow = InferSelectModel<typeof schema.agreements>
