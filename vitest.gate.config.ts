/**
 * Steps of `.ci/run` that are no part of `npm test`, because they need programs that not every machine has, or minutes.
 *
 * | project | what | by itself |
 * |---|---|---|
 * | `conformance` | every dialect of verification: official clients, nginx, Caddy and HAProxy | `npm run conformance` |
 * | `browser` | stories in a real Chromium | `npm run browser` |
 * | `limits` | the largest inputs of the control plane, within the limits of one invocation | |
 */
import { defineConfig } from 'vitest/config'
import { keepStateInMemory } from './test/support/memory.ts'
import { controlPlane, LARGEST_INPUTS } from './vitest.config.ts'

keepStateInMemory()

const inNode = { globalSetup: ['test/support/bundle.ts'], testTimeout: 60_000, hookTimeout: 120_000 }

export default defineConfig({
  test: {
    maxWorkers: 2,
    silent: 'passed-only',
    projects: [
      { test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], ...inNode } },
      controlPlane('limits', [LARGEST_INPUTS]),
      { test: { name: 'browser', include: ['test/browser/**/*.test.ts'], ...inNode } },
    ],
  },
})
