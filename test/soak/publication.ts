/** How long it takes from a downgrade's event to the document without the flags: one at a time, when nothing else is sent. */
import type { ControlClient } from '../../dev/control_client.ts'
import { attempt, type Endpoint } from './sender.ts'

const DOWNGRADES = 20

/** @returns milliseconds, of each downgrade */
export async function timeDowngrades(client: ControlClient, endpoint: Endpoint): Promise<number[]> {
  const put = async (org: string, revision: number, plan: string) => {
    const phases = [{ plan, status: 'active', from: '2026-01-01T00:00:00.000Z', to: null, add: [] }]
    const data = { contract: `C-${org}`, org, revision, phases }
    const id = `evt-${org}-${revision}`
    const about = { specversion: '1.0', id, source: 'https://crm.example.com', type: 'contract.snapshot.v1' }
    const answer = await attempt({ id, body: JSON.stringify({ ...about, data }) }, endpoint)
    if (typeof answer !== 'object') throw new Error(`the downgrade was answered ${answer}`)
  }
  const organizations = Array.from({ length: DOWNGRADES }, (_, index) => `org_downgraded_${index + 1}`)
  for (const id of organizations) {
    await client.write('POST', '/orgs', { id, name: id, reason: 'A soak test' })
    await put(id, 1, 'enterprise')
  }
  await client.settled('production')
  const times: number[] = []
  for (const id of organizations) {
    const startedAt = performance.now()
    await put(id, 2, 'starter')
    await client.settled('production')
    times.push(performance.now() - startedAt)
  }
  return times
}
