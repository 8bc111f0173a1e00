/**
 * `npm run faults`: the Worker fails at every await between upstream's acceptance and the client's bytes, and the session must
 * live. Real parts throughout: the bundle in workerd with its Durable Objects on disk, a provider that rotates refresh
 * tokens and revokes the session of a client that uses one twice, a certified client.
 *
 * Each await once throws, and once the process is killed there, from the one on that brings the status line of upstream's
 * answer. By then the refresh token is spent. Until the answer is whole and in the store, a part of these faults takes it
 * away for good, and an upstream that does not replay has no other: such cases are run and shown, and counted apart
 * (`./inherent.ts` says which).
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { main, paint, Running, signalled, UsageError } from '../../dev/cli.ts'
import { startIdp } from '../../dev/idp.ts'
import { generateSigningKeys } from '../../dev/signing_keys.ts'
import { PROJECT } from '../../dev/wrangler.ts'
import { startServer } from '../e2e/support/http.ts'
import { freePort } from '../e2e/support/stage.ts'
import { openStage } from '../e2e/support/workerd.ts'
import { bundle } from '../support/bundle.ts'
import type { Client } from './client.ts'
import { inherentIn, isBeforeWhole, requireNamed } from './inherent.ts'
import { configure, instrument, type Point } from './instrument.ts'
import { type Outcome, Subject } from './subject.ts'

/** The await that brings the status line of upstream's answer to a refresh: file and text. */
const YES = {
  gateway: ['sessions/send.ts', 'await fetcher('],
  proxy: ['test/faults/workers/proxy.ts', 'await fetch('],
} as const
/** Where the proxy has the answer whole. */
const PROXY_WHOLE = 'await response.arrayBuffer('

async function faults(): Promise<void> {
  const running = new Running()
  const stopped = signalled().then((signal) => {
    throw new UsageError(`Stopped by ${signal}.`)
  })
  try {
    await Promise.race([suite(running), stopped])
  } finally {
    await running.close()
  }
}

async function suite(running: Running): Promise<void> {
  const points = instrument()
  const pointOf = (id: string) => points.find((point) => point.id === id) as Point
  const signingKeys = await generateSigningKeys()
  const sessions = await mkdtemp(join(tmpdir(), 'remint-faults-'))
  running.add({ close: () => rm(sessions, { recursive: true, force: true }) })
  let granted = () => {}
  let subject: Subject
  const control = running.add(await startServer(() => subject.kill()))

  async function open(name: 'gateway' | 'proxy', options = {}): Promise<Subject> {
    const [file, start] = YES[name]
    const yes = points.find(({ id, text }) => id.startsWith(`${file}:`) && text.startsWith(start))
    if (!yes) throw new Error(`${name}: the await that brings upstream's answer was not found`)
    const port = await freePort()
    const issuer = `http://localhost:${port}`
    const idp = running.add(await startIdp({ port: 0, ...(name === 'proxy' && { issuer }) }))
    idp.provider.on('grant.success', () => granted())
    const vars = { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer, FAULT_CONTROL: control.url }
    const built = running.add(await bundle(configure(name, await compatibilityDate())))
    const stage = await openStage(running, built.folder)
    return new Subject(running, stage, yes.id, { vars, port, signingKeys, ...options })
  }
  const gateway = await open('gateway', { sessions })
  const proxy = await open('proxy', { ready: '/.well-known/openid-configuration' })

  const modes = ['throws', 'stops'] as const
  subject = proxy
  const whole = points.find(({ text }) => text.startsWith(PROXY_WHOLE)) as Point
  const plain = new Map<string, Outcome>()
  for (const point of [proxy.yes, whole.id])
    for (const mode of modes) plain.set(`${point} ${mode}`, await proxy.meet({ point, mode }))
  subject = gateway
  const path = (await gateway.path()).map(pointOf)
  requireNamed(path)
  const cases = path.flatMap((point) => modes.map((mode) => ({ point, mode })))
  const outside: [string, (client: Client) => Promise<void>][] = [
    ['the answer is lost on its way to the client', (client) => client.lose()],
    [
      'the client hangs up while upstream answers',
      (client) =>
        client.leave(
          new Promise((resolve) => {
            granted = () => resolve(undefined)
          }),
        ),
    ],
  ]

  console.log(line('fault', 'what the client saw', 'session', 'through a plain proxy'))
  const counted = { alive: 0, of: 0, proxy: 0 }
  const inherent = new Map<string, number>()
  const show = (fault: string, why: string | undefined, outcome: Outcome, through: Outcome) => {
    if (why === undefined) {
      counted.of += 1
      counted.alive += Number(outcome.alive)
      counted.proxy += Number(through.alive)
    } else inherent.set(why, (inherent.get(why) ?? 0) + 1)
    const session =
      why === undefined ? verdict(outcome) : `${verdict(outcome)} inherent: upstream does not replay, ${why}`
    console.log(line(fault, outcome.saw, session, `${verdict(through)} (${through.saw})`))
  }
  for (const { point, mode } of cases) {
    const beside = isBeforeWhole(point) ? proxy.yes : whole.id
    const through = plain.get(`${beside} ${mode}`) as Outcome
    const outcome = await gateway.meet({ point: point.id, mode })
    show(`${mode.padEnd(6)} at ${point.id}  ${point.text}`, inherentIn(point, mode), outcome, through)
  }
  for (const [name, fault] of outside) {
    const through = await proxy.endure(() => fault(proxy.client))
    show(name, undefined, await gateway.endure(() => fault(gateway.client)), through)
  }
  const { alive, of } = counted
  const named = [...inherent].map(([why, count]) => `${why} (${count})`).join(', ')
  console.log(`\nof the same faults through a plain proxy: ${counted.proxy} of ${of} alive`)
  console.log(`besides, inherent, as upstream does not replay: ${named}`)
  console.log(`${alive} of ${of} points: session alive`)
  if (alive < of) process.exitCode = 1
}

async function compatibilityDate(): Promise<string> {
  const toml = await readFile(join(PROJECT, 'wrangler.toml'), 'utf8')
  return /^compatibility_date = "([^"]+)"/m.exec(toml)?.[1] as string
}

const verdict = ({ alive }: Outcome): string => (alive ? paint('green', 'alive') : paint('red', 'lost '))

function line(fault: string, saw: string, session: string, through: string): string {
  const short = fault.length <= 80 ? fault : `${fault.slice(0, 79)}…`
  return `${short.padEnd(82)}${saw.padEnd(36)}${session}    ${through}`
}

await main(faults)
