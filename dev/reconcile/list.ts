/** What a source has, from an exported file, in pages: sorted by number, so that each page says what is missing on it. Pure. */

/** A page of `POST /reconciliations`, which takes 64 KiB. */
const PAGE_BYTES = 48 * 1024
const PAGE_ENTRIES = 100

export interface ListPage {
  readonly entries: readonly unknown[]
  /** The number that the page before ended with. */
  readonly after?: string
  /** Whether no page follows. */
  readonly last: boolean
}

/**
 * @param text - a JSON array, or one JSON value per line
 * @returns pages in order; a text that says which entry is wrong, where one is
 */
export function pagesOf(text: string): readonly ListPage[] | string {
  const entries: { number: string; entry: unknown }[] = []
  for (const [index, entry] of read(text).entries()) {
    const number = numberOf(entry)
    if (number === undefined)
      return `Entry ${index + 1} has no contract number: it needs contract, data.contract or id.`
    entries.push({ number, entry })
  }
  entries.sort((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : 0))
  const twice = entries.find(({ number }, index) => entries[index + 1]?.number === number)
  if (twice) return `${twice.number} is in the file twice.`
  const pages: { entries: unknown[]; after?: string; last: boolean }[] = [{ entries: [], last: false }]
  let size = 0
  for (const [index, { entry }] of entries.entries()) {
    const bytes = JSON.stringify(entry).length
    const page = pages.at(-1)
    if (
      page &&
      page.entries.length > 0 &&
      (size + bytes > PAGE_BYTES || page.entries.length === PAGE_ENTRIES)
    ) {
      pages.push({ entries: [entry], after: entries[index - 1]?.number ?? '', last: false })
      size = bytes
    } else {
      page?.entries.push(entry)
      size += bytes
    }
  }
  return pages.map((page, index) => ({ ...page, last: index === pages.length - 1 }))
}

function read(text: string): unknown[] {
  if (text.trimStart().startsWith('[')) return JSON.parse(text) as unknown[]
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as unknown)
}

/** A snapshot's `contract`, an event's `data.contract`, or the `id` of a subscription. */
function numberOf(entry: unknown): string | undefined {
  const { contract, data, id, specversion } = (entry ?? {}) as Record<string, unknown>
  const inner = (data as Record<string, unknown> | undefined)?.contract
  const number = specversion === undefined ? (contract ?? id) : inner
  return typeof number === 'string' && number !== '' ? number : undefined
}
