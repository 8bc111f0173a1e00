/**
 * The people who can log in to the local IdP. Pure data.
 *
 * Two organizations on different plans, so that one look at both tokens shows what an entitlement is.
 */
export interface Account {
  readonly id: string
  readonly name: string
  readonly email: string
  readonly organization: { readonly id: string; readonly name: string }
  readonly roles: readonly string[]
  readonly permissions: readonly string[]
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

export const findAccount = (id: string | undefined): Account | undefined =>
  accounts.find((account) => account.id === id)
