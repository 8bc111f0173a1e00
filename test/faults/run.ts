/**
 * `npm run faults`: the Worker fails at every await between upstream's yes and the client's bytes, and the session must
 * live. Real parts throughout: the bundle in workerd with its Durable Objects on disk, a provider that rotates refresh
 * tokens and revokes the session of whoever uses one twice, a certified client.
 *
 * Each await once throws, and once the process is killed there. The exception are the awaits of the encryption, between
 * reading upstream's answer and writing it, where nothing outside is waited for: they only throw. A process that dies in
 * that moment takes the answer with it, and no gateway could bring it back.
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
import type { Client } from './client.ts'
import { configure, instrument, type Point } from './instrument.ts'
import { type Outcome, Subject } from './subject.ts'

/** The await that brings upstream's answer to a refresh, whole; in the proxy, which has no other, also the point. */
const YES = { gateway: 'await ask(call, ', proxy: 'await fetch(' }
const ENCRYPTION = /^sessions\/seal\.ts|await seal\(/

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
    const yes = points.find(({ text }) => text.startsWith(YES[name]))
    if (!yes) throw new Error(`${name}: the await that brings upstream's answer was not found`)
    const port = await freePort()
    const issuer = `http://localhost:${port}`
    const idp = running.add(await startIdp({ port: 0, ...(name === 'proxy' && { issuer }) }))
    idp.provider.on('grant.success', () => granted())
    const vars = { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer, FAULT_CONTROL: control.url }
    const stage = await openStage(running, configure(name, await compatibilityDate()))
    return new Subject(running, stage, yes.id, { vars, port, signingKeys, ...options })
  }
  const gateway = await open('gateway', { sessions })
  const proxy = await open('proxy', { ready: '/.well-known/openid-configuration' })

  subject = proxy
  const plain = {
    throws: await proxy.meet({ point: proxy.yes, mode: 'throws' }),
    stops: await proxy.meet({ point: proxy.yes, mode: 'stops' }),
  }
  subject = gateway
  const cases = (await gateway.path()).map(pointOf).flatMap((point) => {
    const isEncryption = ENCRYPTION.test(point.id) || ENCRYPTION.test(point.text)
    const modes = isEncryption ? (['throws'] as const) : (['throws', 'stops'] as const)
    return modes.map((mode) => ({ point, mode }))
  })
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
  let alive = 0
  const show = (fault: string, outcome: Outcome, through: Outcome) => {
    alive += Number(outcome.alive)
    console.log(line(fault, outcome.saw, verdict(outcome), `${verdict(through)} (${through.saw})`))
  }
  for (const { point, mode } of cases) {
    const outcome = await gateway.meet({ point: point.id, mode })
    show(`${mode.padEnd(6)} at ${point.id}  ${point.text}`, outcome, plain[mode])
  }
  for (const [name, fault] of outside) {
    const through = await proxy.endure(() => fault(proxy.client))
    show(name, await gateway.endure(() => fault(gateway.client)), through)
  }
  const count = cases.length + outside.length
  console.log(`\n${alive} of ${count} points: session alive`)
  if (alive < count) process.exitCode = 1
}

async function compatibilityDate(): Promise<string> {
  const toml = await readFile(join(PROJECT, 'wrangler.toml'), 'utf8')
  return /^compatibility_date = "([^"]+)"/m.exec(toml)?.[1] as string
}

const verdict = ({ alive }: Outcome): string => (alive ? paint('green', 'alive') : paint('red', 'lost '))

function line(fault: string, saw: string, session: string, through: string): string {
  const short = fault.length <= 80 ? fault : `${fault.slice(0, 79)}…`
  return `${short.padEnd(82)}${saw.padEnd(26)}${session}    ${through}`
}

await main(faults)
