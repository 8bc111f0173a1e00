// How long each test file takes, with its hooks. As a reporter of Vitest it appends them to the file $TEST_DURATIONS. By itself
// it prints the ten slowest, and warns of what takes far longer than `.ci/budget.json` allows:
//
//   node .ci/durations.mjs FILE            after a run
//   node .ci/durations.mjs FILE --write    makes that run the budget: on two idle cores, in the commit that explains why
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'

const BUDGET = new URL('budget.json', import.meta.url)
const SHOWN = 10
/** A busy machine is slower all over; one file that is slower than the others is not the machine's fault. */
const TOLERANCE = 2
/** What is quicker than this is measured by luck. */
const FLOOR_SECONDS = 2

export default class Durations {
  onTestModuleEnd(module) {
    const { collectDuration, setupDuration, duration } = module.diagnostic()
    const seconds = (collectDuration + setupDuration + duration) / 1000
    if (process.env.TEST_DURATIONS)
      appendFileSync(process.env.TEST_DURATIONS, `${seconds.toFixed(1)} ${relative('.', module.moduleId)}\n`)
  }
}

function read(file) {
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  const entries = lines.map((line) => [line.slice(line.indexOf(' ') + 1), Number.parseFloat(line)])
  return entries.sort(([, a], [, b]) => b - a)
}

/** How much slower this machine is than the one of the budget. */
function slowness(files, budget) {
  const ratios = files.flatMap(([name, seconds]) => (budget[name] ? [seconds / budget[name]] : []))
  return Math.max(1, ratios.sort((a, b) => a - b)[Math.floor(ratios.length / 2)] ?? 1)
}

function print(files, budget) {
  const factor = slowness(files, budget)
  console.log(`The ${SHOWN} slowest of ${files.length} test files, in seconds (budget):`)
  for (const [name, seconds] of files.slice(0, SHOWN))
    console.log(`${seconds.toFixed(1).padStart(8)} ${`(${budget[name] ?? 'none'})`.padStart(7)}  ${name}`)
  if (factor > 1) console.log(`This machine takes ${factor.toFixed(1)} times as long as that of the budget.`)
  for (const [name, seconds] of files) {
    const allowed = Math.max(budget[name] ?? 0, FLOOR_SECONDS) * factor * TOLERANCE
    if (seconds > allowed)
      console.log(`WARNING: ${name} took ${seconds} s, ${allowed.toFixed(1)} s are allowed`)
  }
}

const [file, option] = process.argv.slice(2)
if (import.meta.filename === process.argv[1] && file) {
  const files = read(file)
  if (option === '--write') {
    const kept = files.filter(([, seconds]) => seconds >= FLOOR_SECONDS)
    writeFileSync(BUDGET, `${JSON.stringify(Object.fromEntries(kept), null, 2)}\n`)
  } else print(files, JSON.parse(readFileSync(BUDGET, 'utf8')))
}
