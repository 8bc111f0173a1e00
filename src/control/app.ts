/**
 * The control plane as a Hono app: opens what a request needs, authenticates it, and wires the features' routes.
 *
 * Everything under `/api/v1` requires credentials, routes that do not exist included; each route names the roles that may
 * use it. Webhooks are signed. `/openapi.json`, `/docs` (where `/` redirects to) and `/healthz` hold no data and are open.
 */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import { afterCommit } from './after_commit.ts'
import { keyRoutes } from './api_keys/routes.ts'
import { auditRoutes } from './audit/routes.ts'
import { authenticate } from './auth/authenticate.ts'
import { FailedAttempts } from './auth/failed_attempts.ts'
import { TokenVerifier } from './auth/tokens.ts'
import { requestApproval } from './change_requests/commands.ts'
import { policyCommands, policyRoutes } from './change_requests/policy_routes.ts'
import { changeRoutes } from './change_requests/routes.ts'
import { type Config, type ControlBindings, DRIFT_NAME, INBOX_NAME, parseConfig } from './config.ts'
import { flagImportCommands } from './contract_sync/flag_import.ts'
import { mappingCommands, mappingRoutes } from './contract_sync/mappings.ts'
import { readQuarantine } from './contract_sync/quarantine.ts'
import { receive } from './contract_sync/receive.ts'
import { deriveCommands, deriveRoutes } from './contract_sync/rederive.ts'
import { inboxRoutes } from './contract_sync/routes.ts'
import { configureSources } from './contract_sync/sources/index.ts'
import type { Vars } from './contract_sync/sources/settings.ts'
import type { InboxStub, Source } from './contract_sync/sources/source.ts'
import { contractCommands } from './contracts/commands.ts'
import { contractRoutes } from './contracts/routes.ts'
import type { Database } from './db/client.ts'
import { connect } from './db/client.ts'
import { driftRoutes } from './drift/routes.ts'
import { explainRoutes } from './explain/routes.ts'
import { flagCommands } from './flags/commands.ts'
import { flagRoutes } from './flags/routes.ts'
import { grantCommands } from './grants/commands.ts'
import { grantRoutes } from './grants/routes.ts'
import type { Api, ControlContext, ControlEnv } from './http/context.ts'
import { internalError, NO_STORE, refuse } from './http/problem.ts'
import type { CommandRegistry } from './ledger/command.ts'
import { createLedger, type Ledger } from './ledger/commit.ts'
import { type LogLine, writeFault, writeLog } from './log.ts'
import { tokenRoutes } from './mint_log/routes.ts'
import { peopleRoutes } from './people/routes.ts'
import { planCommands } from './plans/commands.ts'
import { planRoutes } from './plans/routes.ts'
import { promotionCommands, promotionRoutes } from './promotions/routes.ts'
import { publishRoutes } from './publish/routes.ts'
import { type Document, referencePage } from './reference/page.ts'
import { selfRoutes } from './self/routes.ts'

/** Every command that can be part of a change request. */
export const COMMANDS: CommandRegistry = new Map([
  ...flagCommands,
  ...grantCommands,
  ...planCommands,
  ...contractCommands,
  ...policyCommands,
  ...mappingCommands,
  ...flagImportCommands,
  ...deriveCommands,
  ...promotionCommands,
])

/** Enough for any command. */
const MAX_BODY_BYTES = 64 * 1024

export interface ControlOptions {
  /** How key sets are fetched. */
  readonly fetch?: typeof fetch
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** Makes the control plane. Configuration is read from the environment of the first request. */
export function createControl(options: ControlOptions = {}): OpenAPIHono<ControlEnv> {
  const now = options.now ?? Date.now
  const fetcher: typeof fetch = options.fetch ?? ((...args) => fetch(...args))
  const app = new OpenAPIHono<ControlEnv>()
  app.use(logRequest(now))
  // The validators throw if a body is not JSON at all.
  app.onError((error, c) =>
    error instanceof HTTPException ? refuse(c, 'request_invalid') : internalError(c, error),
  )
  app.notFound((c) => refuse(c, 'route_unknown'))
  app.use(open(fetcher, now))
  app.get('/healthz', async (c) => {
    // What waits for somebody is for operators to see.
    const own = c.var.actor && { contract_sync: { quarantine: await readQuarantine(c.var.control.db) } }
    return c.json({ status: 'ok', ...own }, 200, NO_STORE)
  })
  // Both are the same for everybody, so they are made once.
  let described: Document | undefined
  let page: Awaited<ReturnType<typeof referencePage>> | undefined
  const describe = () => {
    described ??= openApi(app) as unknown as Document
    return described
  }
  app.get('/openapi.json', (c) => c.json(describe()))
  app.get('/docs', async (c) => {
    page ??= await referencePage(describe())
    return c.html(page.html, 200, {
      'content-security-policy': page.policy,
      'referrer-policy': 'no-referrer',
    })
  })
  // Until there is a console.
  app.get('/', (c) => c.redirect('/docs'))
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description:
      'An access token of the operators’ identity provider, or an API key. Behind Cloudflare Access, the assertion that it adds.',
  })
  app.post('/webhooks/:source', receive)
  app.post('/webhooks/:source/:name', receive)
  app.route('/api/v1', api())
  return app
}

function api(): Api {
  const api: Api = new OpenAPIHono<ControlEnv>({
    defaultHook(result, c) {
      if (!result.success) return refuse(c, 'request_invalid', result.error.issues)
    },
  })
  api.use(
    bodyLimit({ maxSize: MAX_BODY_BYTES, onError: (c) => refuse(c as ControlContext, 'body_too_large') }),
  )
  for (const routes of [
    selfRoutes,
    flagRoutes,
    grantRoutes,
    planRoutes,
    contractRoutes,
    changeRoutes,
    policyRoutes,
    inboxRoutes,
    mappingRoutes,
    deriveRoutes,
    promotionRoutes,
    explainRoutes,
    tokenRoutes,
    auditRoutes,
    driftRoutes,
    publishRoutes,
    keyRoutes,
    peopleRoutes,
  ]) {
    routes(api)
  }
  return api
}

const openApi = (app: OpenAPIHono<ControlEnv>) =>
  app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Remint control plane',
      version: '1',
      description:
        'Flags governed as entitlements: who owns them, what pays for them, who has them, and why.',
    },
  })

function logRequest(now: () => number): MiddlewareHandler<ControlEnv> {
  return async function logRequest(c, next) {
    const startedAt = now()
    const log: LogLine = { request_id: requestId(c.req.raw.headers), method: c.req.method }
    c.set('log', log)
    await next()
    log.status = c.res.status
    log.duration_ms = now() - startedAt
    c.res.headers.set('x-request-id', log.request_id)
    c.res.headers.set('x-content-type-options', 'nosniff')
    c.res.headers.set(
      'server-timing',
      `total;dur=${log.duration_ms}, d1;desc="${log.statements ?? 0} statements"`,
    )
    writeLog(log)
  }
}

/** The request id of the edge, or the caller's if it is well-formed, or a new one. */
function requestId(headers: Headers): string {
  const given = headers.get('cf-ray') ?? headers.get('x-request-id')
  return given !== null && /^[\w.:-]{1,64}$/.test(given) ? given : crypto.randomUUID()
}

interface Opened {
  readonly config: Config
  readonly verifier: TokenVerifier
  readonly sources: ReadonlyMap<string, Source>
}

function open(fetcher: typeof fetch, now: () => number): MiddlewareHandler<ControlEnv> {
  const opened = new WeakMap<object, Opened | { readonly problems: readonly string[] }>()
  const failures = new FailedAttempts()
  return async function open(c, next) {
    const env = c.env as unknown as ControlBindings
    let kept = opened.get(env)
    if (!kept) {
      const parsed = parseConfig(env)
      const { sources, problems } = configureSources(env as unknown as Vars, {
        environments: parsed.ok ? parsed.config.environments : [],
        fetcher,
      })
      kept =
        parsed.ok && problems.length === 0
          ? { config: parsed.config, verifier: new TokenVerifier(parsed.config, fetcher, now), sources }
          : { problems: [...(parsed.ok ? [] : parsed.problems), ...problems] }
      opened.set(env, kept)
    }
    if ('problems' in kept) {
      c.var.log.reason = 'misconfigured'
      const problems = c.req.path === '/healthz' ? { problems: kept.problems } : {}
      return c.json({ status: 'misconfigured', ...problems }, 503, NO_STORE)
    }
    const { db, statements } = connect(env.DB)
    c.set('control', {
      config: kept.config,
      db,
      clock: now,
      ledger: openLedger(env, c.executionCtx, db, now, kept.config.environments),
      commands: COMMANDS,
      fetcher,
      sources: kept.sources,
      inbox: env.INBOX.getByName(INBOX_NAME) as InboxStub,
      publisher: (environment) => env.PUBLISHER.getByName(environment),
      driftProgress: () => env.SCHEDULER.getByName(DRIFT_NAME).driftProgress(),
      async startDrift() {
        const progress = await env.SCHEDULER.getByName(DRIFT_NAME).startDrift()
        c.executionCtx.waitUntil(checkDrift(env))
        return progress
      },
    })
    // Cloudflare sets it. Without it, on a local machine, there is nobody to slow down.
    const address = c.req.header('cf-connecting-ip')
    const isBlocked = address !== undefined && failures.isBlocked(address, now())
    if (c.req.path === '/healthz' && !isBlocked) {
      // Open to everybody; operators see more.
      const actor = await authenticate(c.req.raw.headers, kept.verifier, db, now())
      if (actor.ok && actor.value.environments === null) c.set('actor', actor.value)
      if (!actor.ok && address !== undefined && actor.reason === 'token_refused')
        failures.count(address, now())
    }
    if (c.req.path === '/api/v1' || c.req.path.startsWith('/api/v1/')) {
      if (isBlocked) return refuse(c, 'too_many_failures')
      const actor = await authenticate(c.req.raw.headers, kept.verifier, db, now())
      if (!actor.ok) {
        if (address !== undefined && actor.reason === 'token_refused') failures.count(address, now())
        return refuse(c, actor.reason)
      }
      c.set('actor', actor.value)
    }
    try {
      await next()
    } finally {
      c.var.log.statements = statements()
    }
  }
}

/** The cron continues with it, so a failure here is only logged. */
async function checkDrift(env: ControlBindings): Promise<void> {
  try {
    await env.SCHEDULER.getByName(DRIFT_NAME).checkDrift()
  } catch {
    writeFault({ scheduler: DRIFT_NAME, event: 'wake_failed' })
  }
}

/** The ledger for every source of commands: HTTP, the scheduler, contract sync. */
export const openLedger = (
  env: ControlBindings,
  context: Pick<ExecutionContext, 'waitUntil'>,
  db: Database,
  clock: () => number,
  environments: readonly string[],
): Ledger =>
  createLedger({
    db,
    clock,
    environments,
    requestApproval: requestApproval(COMMANDS),
    afterCommit: afterCommit(env, context),
  })
