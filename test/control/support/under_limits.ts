/** After every test of the control plane: nothing that it did would have been refused by Cloudflare. */
import { afterEach, expect } from 'vitest'
import { violations } from './limits.ts'

afterEach(() => {
  expect(violations.splice(0), 'beyond the limits of Cloudflare').toEqual([])
})
