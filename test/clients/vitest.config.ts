import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    name: 'clients',
    root: import.meta.dirname,
    include: ['*.test.ts'],
    globalSetup: ['support/stacks.ts'],
    // They share a gateway and change what one organization may use.
    fileParallelism: false,
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
