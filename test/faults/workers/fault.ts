/**
 * Where faults happen: every `await` of the Worker under test comes by here (see `../instrument.ts`), and one of them is
 * made to fail. All in one isolate, so that the Durable Object and the Worker see the same plan.
 *
 * A point counts from the moment at which upstream has accepted a refresh: its status line has arrived, and that await
 * is the first point. From then on the refresh token is spent.
 */
import type { Course, Plan } from './plan.ts'

let plan: Plan | undefined
let armed = false
let reached: string[] = []
let met = false
let stopAt: string | undefined

declare global {
  var __reach: (point: string, value: unknown) => unknown
}

globalThis.__reach = async (point, value) => {
  const settled = await value
  if (!plan) return settled
  if (point === plan.yes) armed = true
  if (!armed) return settled
  if (!reached.includes(point)) reached.push(point)
  if (point === plan.point) await fail(plan.mode)
  return settled
}

async function fail(mode: Plan['mode']): Promise<void> {
  // Only once: the retry finds a Worker in order.
  plan = undefined
  met = true
  if (mode === 'throws') throw new Error('a fault was planned here')
  // The planner of the stop kills the process; nothing continues here.
  await fetch(`${stopAt}/reached`, { method: 'POST' })
  await new Promise(() => {})
}

type Serve = (
  request: Request,
  env: Record<string, unknown>,
  ctx: ExecutionContext,
) => Response | Promise<Response>

/** A Worker whose faults are planned with `PUT /__fault`, and whose course is read with `GET /__fault`. */
export function faulty(serve: Serve): ExportedHandler<Record<string, unknown>> {
  return {
    async fetch(request, env, ctx) {
      if (new URL(request.url).pathname !== '/__fault') return serve(request, env, ctx)
      if (request.method === 'GET') return Response.json({ reached, met } satisfies Course)
      plan = (await request.json()) as Plan
      stopAt = env.FAULT_CONTROL as string
      armed = false
      reached = []
      met = false
      return new Response(null, { status: 204 })
    },
  }
}
