/**
 * The rows of one contract: its own, and `C-9~2`, `C-9~3` for what follows or is bought besides. Pure.
 */
export const rowId = (contract: string, index: number): string =>
  index === 0 ? contract : `${contract}~${index + 1}`

/** `C-9~2` is a row of the contract `C-9`. */
export const isRowOf = (contract: string, id: string): boolean =>
  id === contract || (id.startsWith(`${contract}~`) && /^\d+$/.test(id.slice(contract.length + 1)))
