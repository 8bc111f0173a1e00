// Prints each failed test of Vitest's JSON report with the first lines of what it said: node .ci/failures.mjs REPORT
import { readFileSync } from 'node:fs'

const LINES = 12
const report = JSON.parse(readFileSync(process.argv[2], 'utf8'))

for (const file of report.testResults) {
  const failed = file.assertionResults.filter((test) => test.status === 'failed')
  for (const test of failed) print(file.name, test.fullName, test.failureMessages.join('\n'))
  // A file that does not load has no tests to name.
  if (file.status === 'failed' && failed.length === 0) print(file.name, 'did not run', file.message)
}

function print(file, name, message) {
  const lines = message.split('\n').slice(0, LINES)
  console.log(`FAILED ${file}: ${name}\n${lines.map((line) => `    ${line}`).join('\n')}`)
}
