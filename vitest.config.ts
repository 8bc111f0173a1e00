import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

/** 32 times the same byte: the secret of nothing. */
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`

export default defineConfig({
  test: {
    // The end-to-end tests mostly wait for processes and clocks; two at a time keeps two cores busy.
    maxWorkers: 2,
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
            'test/e2e/**',
            'test/repository/**',
            'test/conformance/**',
            'test/control/**',
            'test/clients/**',
          ],
          // No module keeps state between tests, and a workerd for each file would take most of the time.
          isolate: false,
          // Some wait for real seconds, and the other project keeps the second core busy.
          testTimeout: 60_000,
          globalSetup: ['test/gateway/support/real_upstream.ts'],
        },
      },
      {
        // The control plane, with real D1, KV and Durable Objects.
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
          name: 'control',
          include: ['test/control/**/*.test.ts'],
          isolate: false,
          testTimeout: 60_000,
        },
      },
      {
        // Tests of the repository itself and end-to-end tests with real processes and real clients run in Node.
        test: {
          name: 'node',
          include: ['test/e2e/**/*.test.ts', 'test/repository/**/*.test.ts', 'test/dev/**/*.test.ts'],
          globalSetup: ['test/support/bundle.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Every dialect of verification against the gateway as it is deployed: official clients and real proxies.
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          globalSetup: ['test/support/bundle.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
