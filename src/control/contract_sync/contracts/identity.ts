/**
 * Which contract a number of another system is here. The system and its number tell contracts apart: two systems may
 * use the same number, also behind one endpoint. Does I/O through `Known`.
 */
import { sha256Hex } from '../../canonical.ts'
import type { AgreementRow } from '../../db/rows.ts'
import type { Known } from '../known.ts'
import { PLAIN_NUMBER } from '../sources/names.ts'

export interface Numbered {
  readonly source: string
  readonly system: string | null
  readonly contract: string
}

export interface Place {
  /** The id here. */
  readonly id: string
  /** Its last snapshot. */
  readonly agreement: AgreementRow | undefined
}

export async function placeOf(number: Numbered, known: Known): Promise<Place> {
  const { source, system, contract } = number
  const all = await known.numbered(source, contract)
  const own = all.find((row) => row.system === system || row.system === null || system === null)
  if (own) {
    // Rows are never deleted, so an agreement without rows does not count.
    const standing = !own.whole || (await known.contractRows(own.contract)).length > 0
    return { id: own.contract, agreement: standing ? own : undefined }
  }
  return { id: await idOf(number, all.length > 0), agreement: undefined }
}

/** The ids under which waiting events about this number may be stored. */
export const idsOf = async (number: Numbered): Promise<string[]> => [
  await idOf(number, false),
  await idOf(number, true),
]

/** @param taken - whether another system behind the source has this number */
async function idOf({ source, system, contract }: Numbered, taken: boolean): Promise<string> {
  const prefix = prefixOf(source)
  const plain = PLAIN_NUMBER.test(`${prefix}${contract}`)
  if (plain && !taken) return `${prefix}${contract}`
  const readable = contract.replace(/[^\w.:@|+-]+/g, '-').slice(0, 60)
  const digest = await sha256Hex(JSON.stringify([source, taken ? system : null, contract]))
  return `${prefix}${readable}-${digest.slice(0, 10)}`
}

/** Numbers of Stripe, and of the unnamed CRM endpoint, are used as ids unchanged. */
function prefixOf(source: string): string {
  if (source === 'stripe' || source === 'standard') return ''
  return `${source.replace(/^standard-/, '')}:`
}

/** The forms of Stripe's ids. */
const STRIPE_ID = /^(sub_|stripe-entitlements:)/
export const isReserved = (source: string, id: string): boolean => source !== 'stripe' && STRIPE_ID.test(id)
