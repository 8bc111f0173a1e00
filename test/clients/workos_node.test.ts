import { WorkOS } from '@workos-inc/node'
import { tell } from './support/story.ts'

const COOKIE_PASSWORD = 'a-cookie-password-of-32-characters-or-more'

tell('@workos-inc/node', {
  provider: 'workos',
  deniesTokens: true,
  async open({ url, issuer, clientId, server }) {
    const gateway = new URL(url)
    const workos = new WorkOS({
      ...{ apiKey: server.secret, clientId, issuer },
      ...{ apiHostname: gateway.hostname, port: Number(gateway.port), https: false },
    })
    const { userManagement } = workos
    let sealed = ''
    const session = () =>
      userManagement.loadSealedSession({ sessionData: sealed, cookiePassword: COOKIE_PASSWORD })
    const token = async (): Promise<string> => {
      const held = await session().authenticate()
      if (!held.authenticated) throw new Error(`not logged in: ${held.reason}`)
      return held.accessToken
    }
    return {
      async logIn() {
        const redirectUri = 'http://localhost:3000/callback'
        const start = userManagement.getAuthorizationUrl({ provider: 'authkit', clientId, redirectUri })
        const { headers } = await fetch(start, { redirect: 'manual' })
        const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
        const { sealedSession } = await userManagement.authenticateWithCode({
          ...{ code, clientId, session: { sealSession: true, cookiePassword: COOKIE_PASSWORD } },
        })
        sealed = sealedSession ?? ''
        return token()
      },
      async refresh() {
        const refreshed = await session().refresh()
        if (!refreshed.authenticated) throw new Error(`not refreshed: ${refreshed.reason}`)
        sealed = refreshed.sealedSession ?? ''
        return token()
      },
      async logOut() {
        const { status } = await fetch(await session().getLogoutUrl(), { redirect: 'manual' })
        if (status !== 302) throw new Error(`the log-out was answered ${status}`)
      },
    }
  },
})
