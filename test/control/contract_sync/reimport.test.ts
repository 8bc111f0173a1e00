/** Correcting a mapping moves what another system's flags gave by it, in the same change. WorkOS speaks for production. */
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { type ControlUnderTest, setUp } from '../support/control.ts'
import { type Act, begin, mapped, ruled, startOver, tell } from './stories.ts'

let control: ControlUnderTest
beforeAll(async () => {
  control = await setUp()
  await begin(control)
})
beforeEach(startOver)

const at = (hour: number) => `2026-11-22T${String(hour).padStart(2, '0')}:00:00.000Z`
const inProduction = async (org: string): Promise<string> => {
  const { body } = await control.get(`/orgs/${org}/entitlements?environment=production`)
  return body.flags
    .filter(({ on }: { on: boolean }) => on)
    .map(({ flag }: { flag: string }) => flag)
    .join(' ')
}
const theirs = (hour: number, members: object = {}) => ruled(at(hour), { slug: 'theirs', ...members })
const forA = { organizations: ['org_a'] }
const forW = { organizations: ['org_w'] }

test.each<{ name: string; acts: Act[]; a?: string; b?: string }>([
  {
    name: 'an organization’s name',
    acts: [mapped('workos/org/org_w', 'org_a'), ruled(at(9), forW), mapped('workos/org/org_w', 'org_b')],
    b: 'scim',
  },
  {
    name: 'an organization’s name, and back again',
    acts: [
      mapped('workos/org/org_w', 'org_a'),
      ruled(at(9), forW),
      mapped('workos/org/org_w', 'org_b'),
      mapped('workos/org/org_w', 'org_a'),
    ],
    a: 'scim',
  },
  {
    name: 'a name that is ours, and becomes another organization’s',
    acts: [ruled(at(9), forA), mapped('workos/org/org_a', 'org_b')],
    b: 'scim',
  },
  {
    name: 'an organization’s name that is mapped no more',
    acts: [mapped('workos/org/org_w', 'org_a'), ruled(at(9), forW), mapped('workos/org/org_w', null)],
  },
  {
    name: 'a flag’s name',
    acts: [mapped('workos/flag/theirs', 'scim'), theirs(9, forA), mapped('workos/flag/theirs', 'sso')],
    a: 'sso',
  },
  {
    name: 'a flag’s name, twice',
    acts: [
      mapped('workos/flag/theirs', 'scim'),
      theirs(9, forA),
      mapped('workos/flag/theirs', 'sso'),
      mapped('workos/flag/theirs', 'reports'),
    ],
    a: 'reports',
  },
  {
    name: 'a flag’s name, of a flag that was on for all',
    acts: [
      mapped('workos/flag/theirs', 'scim'),
      theirs(9, { access: 'all' }),
      mapped('workos/flag/theirs', null),
    ],
  },
  {
    name: 'a flag’s name, and then its next rule',
    acts: [
      mapped('workos/flag/theirs', 'scim'),
      theirs(9, forA),
      mapped('workos/flag/theirs', 'sso'),
      theirs(10, { organizations: ['org_b'] }),
    ],
    b: 'sso',
  },
])('$name', async ({ acts, a = '', b = '' }) => {
  await tell(control, [...acts, 'cron'])
  expect([await inProduction('org_a'), await inProduction('org_b')]).toEqual([a, b])
  expect((await control.get('/inbox?state=open')).body.data).toEqual([])
  expect((await control.get('/audit/verify')).body.intact).toBe(true)
})

test('shows whom it moves before it does', async () => {
  await tell(control, [mapped('workos/org/org_w', 'org_a'), ruled(at(9), forW)])
  const body = { target: 'org_b', reason: 'x' }
  const shown = await control.call('PUT', '/mappings/workos/org/org_w?dry_run=true', { body })
  expect(JSON.stringify(shown.body.effect)).toContain('org_a')
  expect(await inProduction('org_a')).toBe('scim')
})
