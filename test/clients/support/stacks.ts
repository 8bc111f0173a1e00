/**
 * The gateway in front of three kinds of provider, each started when the first client asks for it: the local IdP, one in the
 * shape of Auth0 and one in the shape of WorkOS. They run beside the tests, which ask for them over HTTP at `desk`.
 */
import { createServer } from 'node:http'
import type { TestProject } from 'vitest/node'
import { Running } from '../../../dev/cli.ts'
import { OWN_APP, OWN_SERVER, ownClients } from '../../../dev/idp/clients.ts'
import { startIdp } from '../../../dev/idp.ts'
import { openDocuments } from '../../../dev/local_kv.ts'
import { listen } from '../../../dev/network.ts'
import type { Vars } from '../../../dev/wrangler.ts'
import { freePort } from '../../e2e/support/stage.ts'
import { API_KEY, CLIENT_ID, ISSUER, startWorkos } from '../../e2e/support/workos.ts'
import { openDevGateway } from '../../e2e/support/wrangler_dev.ts'
import { AUDIENCE, startAuth0 } from './auth0.ts'

export type ProviderName = 'local' | 'auth0' | 'workos'

/** What a client is configured with. */
export interface Provider {
  /** The gateway's address. */
  readonly url: string
  /** What tokens must name. */
  readonly issuer: string
  /** For an app in a browser. */
  readonly clientId: string
  /** For one on a server. */
  readonly server: { readonly id: string; readonly secret: string }
}

declare module 'vitest' {
  interface ProvidedContext {
    desk: string
  }
}

const ORGANIZATION = 'org_acme'

/** Where apps of the local IdP return to, on any port. */
const REDIRECT_URIS = [
  'http://localhost/callback',
  'http://localhost/auth/callback/remint',
  'http://localhost/api/auth/callback/remint',
]

type Start = (running: Running) => Promise<{ provider: (url: string) => Provider; vars: Vars }>

const starts: Readonly<Record<ProviderName, Start>> = {
  local: async (running) => {
    const idp = running.add(await startIdp({ port: 0, clients: ownClients(REDIRECT_URIS) }))
    return {
      provider: (url) => ({ url, issuer: url, clientId: OWN_APP, server: OWN_SERVER }),
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: idp.issuer },
    }
  },
  auth0: async (running) => {
    const idp = running.add(await startAuth0())
    const server = { id: 'auth0-server', secret: 'auth0-secret' }
    return {
      provider: (url) => ({ url, issuer: `${url}/`, clientId: 'auth0-spa', server }),
      vars: { UPSTREAM_ORIGIN: idp.url, UPSTREAM_ISSUER: `${idp.url}/`, UPSTREAM_AUDIENCE: AUDIENCE },
    }
  },
  workos: async (running) => {
    const idp = running.add(await startWorkos())
    return {
      provider: (url) => ({
        url,
        issuer: ISSUER,
        clientId: CLIENT_ID,
        server: { id: CLIENT_ID, secret: API_KEY },
      }),
      vars: {
        UPSTREAM_PROFILE: 'workos',
        UPSTREAM_ORIGIN: idp.url,
        UPSTREAM_ISSUER: ISSUER,
        UPSTREAM_CLIENT_ID: CLIENT_ID,
        UPSTREAM_AUDIENCE: undefined,
      },
    }
  },
}

interface Stack {
  readonly provider: Provider
  readonly state: string
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const running = new Running()
  const stacks = new Map<string, Promise<Stack>>()

  async function open(name: ProviderName): Promise<Stack> {
    const { provider, vars } = await starts[name](running)
    const gateway = await openDevGateway(running, vars, await freePort())
    return { provider: provider(gateway.url), state: gateway.state }
  }

  function stack(name: string): Promise<Stack> {
    if (!Object.hasOwn(starts, name)) throw new Error(`there is no provider ${name}`)
    const known = stacks.get(name) ?? open(name as ProviderName)
    stacks.set(name, known)
    return known
  }

  /** `GET /{provider}` opens it; `PUT /{provider}?flag=…&on=…` changes what the organization may use. */
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    try {
      const { provider, state } = await stack(url.pathname.slice(1))
      const { flag, on } = Object.fromEntries(url.searchParams)
      if (request.method === 'PUT') await setFlag(state, String(flag), on === 'true')
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(provider))
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
  project.provide('desk', `http://localhost:${await listen(server, 0)}`)
  return async () => {
    server.close()
    await running.close()
  }
}

async function setFlag(state: string, flag: string, on: boolean): Promise<void> {
  const documents = await openDocuments('production', state)
  try {
    const organization = await documents.org(ORGANIZATION)
    if (!organization) throw new Error('the organization was not seeded')
    const others = organization.grants.filter((grant) => grant.flag !== flag)
    const from = new Date(Date.now() - 60_000).toISOString()
    const to = new Date(Date.now() + 86_400_000).toISOString()
    const grant = { id: 'of_the_story', flag, effect: 'allow', source: 'beta', from, to } as const
    await documents.saveOrg({ ...organization, grants: on ? [...others, grant] : others })
  } finally {
    await documents.close()
  }
}
