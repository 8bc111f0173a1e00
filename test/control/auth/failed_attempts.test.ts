/** Guessing credentials is slowed down by address; nobody else notices. */
import { expect, test } from 'vitest'
import { setUp } from '../support/control.ts'

const GUESS = { authorization: `Bearer remint_${'0'.repeat(16)}_${'A'.repeat(43)}` }

test('an address whose credentials were refused 30 times waits until the minute is over', async () => {
  const control = await setUp()
  const guess = (address: string) =>
    control.call('GET', '/me', { role: null, headers: { ...GUESS, 'cf-connecting-ip': address } })
  const asAdmin = async (address: string) => {
    const token = await control.operators.token({ roles: ['admin'] }, control.clock.now)
    const headers = { authorization: `Bearer ${token}`, 'cf-connecting-ip': address }
    return control.call('GET', '/me', { role: null, headers })
  }
  for (let i = 0; i < 30; i++) expect((await guess('192.0.2.1')).status).toBe(401)
  const blocked = await guess('192.0.2.1')
  expect([blocked.status, blocked.body.code]).toEqual([429, 'too_many_failures'])
  expect(blocked.headers.get('retry-after')).toBe('60')
  expect((await asAdmin('192.0.2.1')).status).toBe(429)
  expect((await asAdmin('192.0.2.2')).status).toBe(200)
  control.clock.now += 60_000
  expect((await asAdmin('192.0.2.1')).status).toBe(200)
})
