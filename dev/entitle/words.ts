/**
 * Parses what a person types: durations, numbers, and names that are almost right. Pure.
 */
import { InvalidArgumentError } from 'commander'

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** `90s`, `15m`, `12h`, `30d`, `2w` to milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,4})([smhdw])$/.exec(text)
  if (!match || Number(match[1]) === 0)
    throw new InvalidArgumentError('It is a number and a unit: 90s, 15m, 12h, 30d, 2w.')
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]
}

export function parsePercentage(text: string): number {
  const percentage = text.trim() === '' ? Number.NaN : Number(text)
  if (!(percentage >= 0 && percentage <= 100)) throw new InvalidArgumentError('It is a number from 0 to 100.')
  return percentage
}

/** The known names that a wrong one may have meant, nearest first. */
export function nearNames(wrong: string, known: readonly string[]): string[] {
  const lower = wrong.toLowerCase()
  return known
    .map((name) => ({ name, other: name.toLowerCase() }))
    .map(({ name, other }) => ({
      name,
      distance: other.includes(lower) || lower.includes(other) ? 0 : distance(lower, other),
    }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)
    .map(({ name }) => name)
}

/** Levenshtein distance: insertions, deletions and substitutions. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
