/**
 * `npm run conformance`: the conformance tests by themselves, with the count on the last line.
 *
 * What cannot be tested on this machine is named before it; nothing is counted that did not run.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROJECT } from '../../dev/wrangler.ts'
import { missing, PROXY_NAMES } from './support/proxies.ts'

interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
}

const folder = mkdtempSync(join(tmpdir(), 'remint-conformance-'))
const report = join(folder, 'report.json')
const vitest = join(PROJECT, 'node_modules', 'vitest', 'vitest.mjs')
const reporters = ['--reporter=tree', '--reporter=json', `--outputFile.json=${report}`]
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '--config', 'vitest.gate.config.ts', '--project', 'conformance', ...reporters],
  {
    cwd: PROJECT,
    stdio: 'inherit',
  },
)

let result: Report = { success: false, numPassedTests: 0, numFailedTests: 0 }
try {
  result = JSON.parse(readFileSync(report, 'utf8')) as Report
} catch {
  console.error('The tests did not get as far as a report.')
}
rmSync(folder, { recursive: true })
for (const name of PROXY_NAMES) {
  const reason = missing(name)
  if (reason !== undefined) console.log(`skipped: ${reason}`)
}
// A file that does not load fails without a failed test.
const isFailed = status !== 0 || !result.success
const failed = isFailed ? Math.max(1, result.numFailedTests) : 0
console.log(`${result.numPassedTests} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
