/**
 * What Cloudflare refuses and local workerd allows, per invocation of a Worker or of a Durable Object: more than 1,000
 * queries of D1, of which each statement of a batch is one; more than six connections to D1 at a time; more than 1,000
 * operations of KV; and a result of more than 50 MB. https://developers.cloudflare.com/d1/platform/limits/
 *
 * A refusal that is swallowed is found all the same: `violations` has them all, and `under_limits.ts` looks.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

export const LIMITS = { queries: 1_000, connections: 6, operations: 1_000, resultBytes: 50_000_000 } as const

class Invocation {
  queries = 0
  open = 0
  operations = 0
}

const current = new AsyncLocalStorage<Invocation>()
/** Since the last look. */
export const violations: string[] = []
/** The most that one invocation took since the last look. */
export const most = { queries: 0, connections: 0, operations: 0 }

/** Runs the work as an invocation of its own. What runs outside of any, such as a test's own SQL, has no limits. */
export const invocation = <T>(work: () => T): T => current.run(new Invocation(), work)

function refuse(message: string): never {
  violations.push(message)
  throw new Error(message)
}

async function query<T>(count: number, run: () => Promise<T>): Promise<T> {
  const invoked = current.getStore()
  if (!invoked) return run()
  invoked.queries += count
  most.queries = Math.max(most.queries, invoked.queries)
  if (invoked.queries > LIMITS.queries) refuse('D1_ERROR: Too many API requests by single Worker invocation.')
  invoked.open++
  most.connections = Math.max(most.connections, invoked.open)
  try {
    if (invoked.open > LIMITS.connections) refuse('D1_ERROR: Too many open connections in one invocation.')
    const result = await run()
    for (const one of Array.isArray(result) ? result : [result]) {
      if (bytesOf(one) > LIMITS.resultBytes) refuse('D1_ERROR: Query result is larger than 50 MB.')
    }
    return result
  } finally {
    invoked.open--
  }
}

/** About the length of its JSON. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 2
  for (const [name, member] of Object.entries(value)) bytes += name.length + 4 + bytesOf(member)
  return bytes
}

const statements = new WeakMap<object, D1PreparedStatement>()
const RUNS = ['first', 'run', 'all', 'raw']

function limitedStatement(statement: D1PreparedStatement): D1PreparedStatement {
  const proxy = new Proxy(statement, {
    get(target, name) {
      const member = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        const call = (): never => Reflect.apply(member, target, args) as never
        if (name === 'bind') return limitedStatement(call())
        return RUNS.includes(String(name)) ? query(1, call) : call()
      }
    },
  })
  statements.set(proxy, statement)
  return proxy
}

export const limited = (db: D1Database): D1Database =>
  new Proxy(db, {
    get(target, name) {
      const member = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        const call = (...given: unknown[]): never => Reflect.apply(member, target, given) as never
        if (name === 'prepare') return limitedStatement(call(...args))
        if (name === 'exec') return query(1, () => call(...args))
        if (name !== 'batch') return call(...args)
        const batch = (args[0] as D1PreparedStatement[]).map((one) => statements.get(one) ?? one)
        return query(batch.length, () => call(batch))
      }
    },
  })

export const limitedKV = (kv: KVNamespace): KVNamespace =>
  new Proxy(kv, {
    get(target, name) {
      const member = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        const invoked = current.getStore()
        if (invoked) {
          most.operations = Math.max(most.operations, ++invoked.operations)
          if (invoked.operations > LIMITS.operations) {
            refuse('KV: Too many API requests by single Worker invocation.')
          }
        }
        return Reflect.apply(member, target, args)
      }
    },
  })

interface Stores {
  readonly DB: D1Database
  readonly ENTITLEMENTS: KVNamespace
}

export const underLimits = <E extends Stores>(env: E): E => ({
  ...env,
  DB: limited(env.DB),
  ENTITLEMENTS: limitedKV(env.ENTITLEMENTS),
})

// biome-ignore lint/suspicious/noExplicitAny: a class of any Durable Object
type ObjectClass = new (ctx: DurableObjectState, env: any) => object

/** A Durable Object each of whose calls and alarms is an invocation. */
export function limitedObject<C extends ObjectClass>(Class: C): C {
  const Limited = class extends (Class as ObjectClass) {
    constructor(ctx: DurableObjectState, env: Stores) {
      super(ctx, underLimits(env))
    }
  }
  for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(Class.prototype))) {
    if (get || typeof value !== 'function' || name === 'constructor') continue
    Object.defineProperty(Limited.prototype, name, {
      value(this: object, ...args: unknown[]) {
        return invocation(() => Reflect.apply(value, this, args))
      },
      configurable: true,
      writable: true,
    })
  }
  return Limited as unknown as C
}
