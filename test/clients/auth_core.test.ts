/** Auth.js: `@auth/core`, on which `@auth/express`, `@auth/sveltekit` and next-auth 5 are built. */
import { Auth, type AuthConfig } from '@auth/core'
import { getRequestListener } from '@hono/node-server'
import { tell } from './support/story.ts'
import { endSessionUrl, refreshed, type Tokens } from './support/token_endpoint.ts'
import { startWebApp, tokenOf } from './support/web_app.ts'

tell('@auth/core', {
  provider: 'local',
  deniesTokens: true,
  async open(provider, running) {
    let tokens: Tokens | undefined
    let isDue = false
    const config: AuthConfig = {
      secret: 'a-secret-of-32-characters-or-more',
      trustHost: true,
      basePath: '/auth',
      providers: [
        {
          ...{ id: 'remint', name: 'Remint', type: 'oidc', issuer: provider.issuer },
          ...{ clientId: provider.server.id, clientSecret: provider.server.secret },
          checks: ['pkce', 'state', 'nonce'],
        },
      ],
      callbacks: {
        async jwt({ token, account }) {
          const held = (account ?? token.tokens) as Tokens
          tokens = isDue && !account ? await refreshed(provider, held) : pick(held)
          return { ...token, tokens }
        },
        session: ({ session, token }) => ({
          ...session,
          access_token: (token.tokens as Tokens).access_token,
        }),
      },
    }
    const app = await startWebApp(running, () =>
      getRequestListener((request) => (isHome(request) ? new Response('home') : Auth(request, config))),
    )

    const post = async (path: string): Promise<void> => {
      const { csrfToken } = JSON.parse((await app.visit('/auth/csrf')).text)
      await app.visit(path, { csrfToken, callbackUrl: `${app.url}/auth/session` })
    }
    return {
      async logIn() {
        await post('/auth/signin/remint')
        return tokenOf(await app.visit('/auth/session'))
      },
      async refresh() {
        isDue = true
        return tokenOf(await app.visit('/auth/session'))
      },
      async logOut() {
        if (!tokens) throw new Error('nobody is logged in')
        await post('/auth/signout')
        await app.visit(await endSessionUrl(provider, tokens, `${app.url}/`))
      },
    }
  },
})

const isHome = ({ url }: Request): boolean => new URL(url).pathname === '/'

const pick = ({ access_token, refresh_token, id_token }: Tokens): Tokens => ({
  ...{ access_token, refresh_token, id_token },
})
