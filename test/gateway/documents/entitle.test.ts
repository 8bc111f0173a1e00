import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Catalog, OrgDocument, UserDocument } from '../../../src/core/documents.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import { entitle } from '../../../src/gateway/documents/entitle.ts'
import type { Reading } from '../../../src/gateway/documents/reading_cache.ts'
import type { Documents } from '../../../src/gateway/documents/store.ts'
import { AT, catalogs, subjects } from '../../core/support.ts'
import { catalog, grant, orgDocument, userDocument } from '../support/gateway.ts'

const NOW = Date.parse('2026-06-01T00:00:00.500Z')
const SECONDS = Math.floor(NOW / 1000)
const IDS = { orgId: 'org_acme', userId: 'user_1' }
const rule = (access: string, members: object = {}) => ({ kind: 'entitlement', access, ...members })

const CATALOG = catalog({ everyone: rule('all'), granted: rule('some') }) as unknown as Catalog
const ORG = orgDocument({ grants: [grant('granted')] }) as unknown as OrgDocument
const USER = userDocument() as unknown as UserDocument

const reading = <T>(document: T | null, members: Partial<Reading<T>> = {}): Reading<T> => ({
  document,
  readAt: NOW,
  stale: false,
  ...members,
})
/** There is no such document. */
const NONE: Reading<never> = { document: null, readAt: NOW, stale: false }
const documents = (members: Partial<Documents> = {}): Documents => ({
  catalog: reading(CATALOG),
  org: reading(ORG),
  user: NONE,
  ...members,
})
const entitled = (
  given: Documents,
  ids: { orgId: string | undefined; userId: string | undefined } = IDS,
  now = NOW,
) => entitle(given, ids, 'production', now)

test('an organization that is named in a way that nothing can be found by is degraded, not nobody', () => {
  const ids = { orgId: undefined, userId: 'user_1', unreadable: true }
  const granted = documents({
    org: undefined,
    user: reading({ ...USER, grants: [grant('granted')] } as UserDocument),
  })
  expect(entitled(granted, ids)).toMatchObject({ flags: ['everyone'], meta: { src: 'degraded' } })
})

describe('the fall-backs, in their order, each named', () => {
  const old = { readAt: NOW - 60_000, stale: true }
  test.each<[string, Documents, string[], string]>([
    ['fresh: every document was read', documents(), ['everyone', 'granted'], 'fresh'],
    [
      'fresh: an organization without a document has no grants',
      documents({ org: NONE }),
      ['everyone'],
      'fresh',
    ],
    [
      'stale: the organization’s is the last good one',
      documents({ org: reading(ORG, old) }),
      ['everyone', 'granted'],
      'stale',
    ],
    [
      'stale: the catalog is the last good one',
      documents({ catalog: reading(CATALOG, old) }),
      ['everyone', 'granted'],
      'stale',
    ],
    [
      'stale: the user’s is the last good one',
      documents({ user: { ...NONE, ...old } }),
      ['everyone', 'granted'],
      'stale',
    ],
    [
      'degraded: no organization’s, only what everybody has',
      documents({ org: undefined }),
      ['everyone'],
      'degraded',
    ],
    ['degraded: no user’s, which might deny', documents({ user: undefined }), ['everyone'], 'degraded'],
    ['degraded: no catalog, nothing', documents({ catalog: undefined }), [], 'degraded'],
    [
      'degraded is not stale',
      documents({ catalog: reading(CATALOG, old), org: undefined }),
      ['everyone'],
      'degraded',
    ],
  ])('%s', (_, given, flags, src) => {
    expect(entitled(given)).toMatchObject({ flags, meta: { env: 'production', src } })
  })

  test('a token of nobody in particular has what everybody has, fresh', () => {
    const given = documents({ org: undefined, user: undefined })
    expect(entitled(given, { orgId: undefined, userId: undefined })).toMatchObject({
      flags: ['everyone'],
      meta: { src: 'fresh' },
    })
  })
})

describe('the token says what it was made of', () => {
  test.each<[string, Documents, string]>([
    ['catalog and organization', documents(), '87.12'],
    ['and the user, where there is a document', documents({ user: reading(USER) }), '87.12.3'],
    ['0 where there is none', documents({ org: NONE }), '87.0'],
    ['0 for a catalog that cannot be had', documents({ catalog: undefined }), '0.12'],
  ])('versions: %s', (_, given, ver) => {
    expect(entitled(given).meta.ver).toBe(ver)
  })

  test('as_of: the time of the oldest document', () => {
    const given = documents({ org: reading(ORG, { readAt: NOW - 4_000 }) })
    expect(entitled(given).meta.as_of).toBe(SECONDS - 4)
  })

  test('as_of is never in the future', () => {
    expect(entitled(documents({ org: reading(ORG, { readAt: NOW + 5_000 }) })).meta.as_of).toBe(SECONDS)
  })
})

describe('a token counts whole seconds', () => {
  const ending = (to: string) =>
    documents({ org: reading(orgDocument({ grants: [grant('granted', { to })] }) as unknown as OrgDocument) })

  test('an end is rounded down', () => {
    expect(entitled(ending('2026-06-01T00:00:09.900Z'))).toMatchObject({
      flags: ['everyone', 'granted'],
      until: SECONDS + 9,
    })
  })

  test('what ends within this second has ended: no token is dead on arrival', () => {
    expect(entitled(ending('2026-06-01T00:00:00.900Z'))).toMatchObject({ flags: ['everyone'], until: null })
  })
})

test('exp is never past a window that holds a flag on, and always in the future', () => {
  fc.assert(
    fc.property(catalogs, subjects, fc.integer({ min: 0, max: 2000 }), (published, subject, offset) => {
      const now = AT + offset
      const given = documents({
        catalog: reading(published),
        org: reading(subject.org ?? null),
        user: reading(subject.user ?? null),
      })
      const ids = { orgId: subject.orgId, userId: subject.userId }
      const { flags, until } = entitled(given, ids, now)
      expect(flags).toEqual([...new Set(flags)].sort())
      if (until !== null) expect(until).toBeGreaterThan(Math.floor(now / 1000))

      // What the token says of its last whole second is what holds then, denies that begin later aside.
      const allowing = (document: OrgDocument | UserDocument | null | undefined) =>
        document && { ...document, grants: document.grants.filter(({ effect }) => effect === 'allow') }
      const later = {
        ...ids,
        org: allowing(subject.org) as OrgDocument,
        user: allowing(subject.user) as UserDocument,
      }
      const lastInstant = until === null ? now + 10_000 : until * 1000 - 1
      expect(evaluate(published, later, lastInstant).flags).toEqual(expect.arrayContaining([...flags]))
    }),
    { numRuns: 500 },
  )
})
