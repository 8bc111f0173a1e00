/**
 * `npm test`: everything that is quick. The steps of `.ci/run` that need more than Node are in `vitest.gate.config.ts`, the clients
 * with a lock file of their own in `test/clients/`.
 *
 * | project | what | where it runs |
 * |---|---|---|
 * | `workerd` | the gateway, core, the guard, and every folder that no other project takes | inside workerd |
 * | `control` | the control plane, with D1, KV and Durable Objects | inside workerd |
 * | `node` | the command line tools, the repository, real processes, one look with a browser | Node |
 */
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { defineConfig, type TestProjectConfiguration } from 'vitest/config'
import { keepStateInMemory } from './test/support/memory.ts'

keepStateInMemory()

/** 32 times the same byte: the secret of nothing. */
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`

/** The control plane, with real D1, KV and Durable Objects. */
export const controlPlane = (
  name: string,
  include: string[],
  exclude: string[] = [],
): TestProjectConfiguration => ({
  plugins: [
    cloudflareTest(async () => ({
      main: './test/control/support/worker.ts',
      wrangler: { configPath: './wrangler.control.toml' },
      miniflare: {
        bindings: {
          MIGRATIONS: await readD1Migrations('./migrations'),
          // Those of test/control/contract_sync: the Durable Object reads them too.
          STANDARD_WEBHOOK_SECRETS: WEBHOOK_SECRET,
          STRIPE_WEBHOOK_SECRETS: WEBHOOK_SECRET,
          STRIPE_TEST_MODE: 'allow',
          WORKOS_WEBHOOK_SECRETS: WEBHOOK_SECRET,
        },
      },
    })),
  ],
  test: {
    name,
    include,
    exclude,
    setupFiles: ['test/control/support/under_limits.ts'],
    isolate: false,
    testTimeout: 60_000,
  },
})

/** They take a minute: a step of `.ci/run`. */
export const LARGEST_INPUTS = 'test/control/limits.test.ts'

export default defineConfig({
  test: {
    // The end-to-end tests mostly wait for processes and clocks; two at a time keeps two cores busy.
    maxWorkers: 2,
    // What Workers log is shown where a test fails.
    silent: 'passed-only',
    projects: [
      {
        // Unit and integration tests run inside workerd, as the Workers do: first the gateway and what is shared.
        plugins: [
          cloudflareTest({
            main: './test/gateway/support/worker.ts',
            wrangler: { configPath: './wrangler.toml' },
          }),
        ],
        test: {
          name: 'workerd',
          include: ['test/**/*.test.ts'],
          exclude: [
            ...['test/control/**', 'test/dev/**', 'test/e2e/**', 'test/repository/**'],
            ...['test/browser/**', 'test/clients/**', 'test/conformance/**'],
          ],
          // No module keeps state between tests, and a workerd for each file would take most of the time.
          isolate: false,
          // Some wait for real seconds, and the other project keeps the second core busy.
          testTimeout: 60_000,
          globalSetup: ['test/gateway/support/real_upstream.ts'],
        },
      },
      controlPlane('control', ['test/control/**/*.test.ts'], [LARGEST_INPUTS]),
      {
        // What runs in Node: the command line tools, the repository itself, and real processes from end to end.
        test: {
          name: 'node',
          include: ['test/dev/**/*.test.ts', 'test/e2e/**/*.test.ts', 'test/repository/**/*.test.ts'],
          globalSetup: ['test/support/bundle.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
