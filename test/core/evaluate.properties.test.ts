import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Catalog, Rule } from '../../src/core/documents.ts'
import { type Evaluation, evaluate, type Subject } from '../../src/core/evaluate.ts'
import { AT, catalogs, FLAGS, subjects } from './support.ts'

const ACCESS = ['none', 'some', 'all'] as const

const withRule = (catalog: Catalog, flag: string, rule: Rule): Catalog => ({
  ...catalog,
  flags: { ...catalog.flags, [flag]: rule },
})

/** Two rules for one flag, the second at least as wide as the first. */
const widenings = fc
  .record({
    access: fc.tuple(fc.nat(2), fc.nat(2)),
    percentage: fc.tuple(
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.double({ min: 0, max: 100, noNaN: true }),
    ),
    killed: fc.constantFrom([true, true], [true, false], [false, false]),
  })
  .map(({ access, percentage, killed }) =>
    [0, 1].map((i): Rule => {
      const pick = i === 0 ? Math.min : Math.max
      return {
        kind: 'entitlement',
        access: ACCESS[pick(...access)] as Rule['access'],
        percentage: pick(...percentage),
        killed: killed[i] as boolean,
      }
    }),
  )

test('monotone: widening a rule (access, percentage, revival) takes no flag from anyone', () => {
  fc.assert(
    fc.property(catalogs, subjects, fc.constantFrom(...FLAGS), widenings, (catalog, subject, flag, rules) => {
      const [narrow, wide] = rules as [Rule, Rule]
      const before = evaluate(withRule(catalog, flag, narrow), subject, AT).flags
      const after = evaluate(withRule(catalog, flag, wide), subject, AT).flags
      expect(after).toEqual(expect.arrayContaining([...before]))
    }),
    { numRuns: 500 },
  )
})

test('a rule speaks for its own flag only', () => {
  fc.assert(
    fc.property(catalogs, subjects, fc.constantFrom(...FLAGS), widenings, (catalog, subject, flag, rules) => {
      const others = (rule: Rule) =>
        evaluate(withRule(catalog, flag, rule), subject, AT).flags.filter((other) => other !== flag)
      expect(others(rules[0] as Rule)).toEqual(others(rules[1] as Rule))
    }),
  )
})

test('flags are sorted, unique and in the catalog; decisions cover the catalog', () => {
  fc.assert(
    fc.property(catalogs, subjects, (catalog, subject) => {
      const { flags, decisions } = evaluate(catalog, subject, AT)
      expect(flags).toEqual([...new Set(flags)].sort())
      for (const flag of flags) expect(Object.hasOwn(catalog.flags, flag)).toBe(true)
      expect(decisions.map(({ flag }) => flag)).toEqual(Object.keys(catalog.flags).sort())
      expect(decisions.filter(({ on }) => on).map(({ flag }) => flag)).toEqual(flags)
    }),
    { numRuns: 500 },
  )
})

const denies = ({ org, user }: Subject) =>
  [...(org?.grants ?? []), ...(user?.grants ?? [])].filter(({ effect }) => effect === 'deny')

test('nobody in particular has no more than somebody without denies', () => {
  fc.assert(
    fc.property(catalogs, subjects, (catalog, subject) => {
      const denied = new Set(denies(subject).map(({ flag }) => flag))
      const rulesOnly = evaluate(catalog, {}, AT).flags.filter((flag) => !denied.has(flag))
      expect(evaluate(catalog, subject, AT).flags).toEqual(expect.arrayContaining(rulesOnly))
    }),
  )
})

/** Each flag and why it is on, which is what may not change within a token's life. */
const held = ({ decisions }: Evaluation) => decisions.filter(({ on }) => on)

/** Every end in the subject's documents. */
const ends = ({ org, user }: Subject): number[] =>
  [...(org?.grants ?? []), ...(user?.grants ?? []), ...(org?.contracts ?? [])]
    .flatMap((window) => [window.to, 'grace_until' in window ? window.grace_until : null])
    .flatMap((end) => (typeof end === 'string' ? [Date.parse(end)] : []))

/** The subject with no deny that begins later: what takes a flag away, rather than what ceases to fund it. */
const withoutDenies = (subject: Subject): Subject => ({
  ...subject,
  org: subject.org && { ...subject.org, grants: subject.org.grants.filter((g) => g.effect === 'allow') },
  user: subject.user && { ...subject.user, grants: subject.user.grants.filter((g) => g.effect === 'allow') },
})

test('until: every flag is still held on, for the same reason, up to the last millisecond before it', () => {
  fc.assert(
    fc.property(catalogs, subjects, fc.double({ min: 0, max: 1, noNaN: true }), (catalog, anybody, part) => {
      const subject = withoutDenies(anybody)
      const evaluation = evaluate(catalog, subject, AT)
      const until = evaluation.until ?? AT + 10_000
      expect(until).toBeGreaterThan(AT)
      const later = evaluate(catalog, subject, AT + Math.floor((until - 1 - AT) * part))
      const keys = later.flags
      expect(keys).toEqual(expect.arrayContaining([...evaluation.flags]))
    }),
    { numRuns: 500 },
  )
})

test('until is the end of a window, and is there whenever a flag would be lost', () => {
  fc.assert(
    fc.property(catalogs, subjects, (catalog, anybody) => {
      const subject = withoutDenies(anybody)
      const evaluation = evaluate(catalog, subject, AT)
      if (evaluation.until !== null) expect(ends(subject)).toContain(evaluation.until)
      for (const end of ends(subject).filter((end) => end > AT)) {
        const lost = held(evaluation).some(
          ({ flag }) => !evaluate(catalog, subject, end).flags.includes(flag),
        )
        if (lost) expect(evaluation.until).toBeLessThanOrEqual(end)
      }
    }),
    { numRuns: 500 },
  )
})
