/**
 * The people who can log in to the local IdP. Pure data.
 *
 * Two organizations on different plans, so that one look at both tokens shows what an entitlement is, and operators of the
 * control plane apart from them.
 */
export interface Account {
  readonly id: string
  readonly name: string
  readonly email: string
  readonly organization: { readonly id: string; readonly name: string }
  readonly roles: readonly string[]
  readonly permissions: readonly string[]
  /** What an operator may do in the control plane: only in tokens for it. */
  readonly operatorRole?: string
}

export const accounts: readonly Account[] = [
  {
    id: 'user_ada',
    name: 'Ada Lovelace',
    email: 'ada@acme.example',
    organization: { id: 'org_acme', name: 'Acme' },
    roles: ['admin'],
    permissions: ['reports:read', 'members:manage'],
  },
  {
    id: 'user_grace',
    name: 'Grace Hopper',
    email: 'grace@globex.example',
    organization: { id: 'org_globex', name: 'Globex' },
    roles: ['member'],
    permissions: ['reports:read'],
  },
]

const REMINT = { id: 'org_remint', name: 'Control plane' }

const operator = (role: string, name: string): Account => ({
  id: `operator_${role.replace('-', '_')}`,
  name,
  email: `${name.split(' ')[0]?.toLowerCase()}@remint.example`,
  organization: REMINT,
  roles: [],
  permissions: [],
  operatorRole: role,
})

/** The operators of the control plane, one for each of its roles. */
export const operators: readonly Account[] = [
  operator('viewer', 'Vera Viewer'),
  operator('editor', 'Edith Editor'),
  operator('approver', 'Arthur Approver'),
  operator('admin', 'Adele Admin'),
  operator('break-glass', 'Bruno Break-Glass'),
]

export const findAccount = (id: string | undefined): Account | undefined =>
  [...accounts, ...operators].find((account) => account.id === id)
