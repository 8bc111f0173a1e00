/** next-auth 4, as a Pages API route: on Express, which has what it takes of a request and a response. */
import express, { type Request, type Response } from 'express'
import nextAuthModule, { type NextAuthOptions } from 'next-auth'
import { tell } from './support/story.ts'
import { endSessionUrl, refreshed, type Tokens } from './support/token_endpoint.ts'
import { startWebApp, tokenOf } from './support/web_app.ts'

/** CommonJS with a default of its own. */
const NextAuth = nextAuthModule.default ?? nextAuthModule

tell('next-auth 4', {
  provider: 'local',
  deniesTokens: true,
  async open(provider, running) {
    let tokens: Tokens | undefined
    let isDue = false
    const options: NextAuthOptions = {
      secret: 'a-secret-of-32-characters-or-more',
      providers: [
        {
          ...{ id: 'remint', name: 'Remint', type: 'oauth', idToken: true, checks: ['pkce', 'state'] },
          wellKnown: `${provider.url}/.well-known/openid-configuration`,
          authorization: { params: { scope: 'openid profile email' } },
          ...{ clientId: provider.server.id, clientSecret: provider.server.secret },
          profile: ({ sub, name, email }) => ({ id: sub, name, email }),
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
    const app = await startWebApp(running, (url) => {
      process.env.NEXTAUTH_URL = url
      return express()
        .use(express.urlencoded())
        .all('/api/auth/*action', (request, response) => handler(options)(request, response))
    })
    const post = async (path: string): Promise<void> => {
      const { csrfToken } = JSON.parse((await app.visit('/api/auth/csrf')).text)
      await app.visit(path, { csrfToken, callbackUrl: `${app.url}/api/auth/session` })
    }
    return {
      async logIn() {
        await post('/api/auth/signin/remint')
        return tokenOf(await app.visit('/api/auth/session'))
      },
      async refresh() {
        isDue = true
        return tokenOf(await app.visit('/api/auth/session'))
      },
      async logOut() {
        if (!tokens) throw new Error('nobody is logged in')
        await post('/api/auth/signout')
        await app.visit(await endSessionUrl(provider, tokens, `${app.url}/`))
      },
    }
  },
})

/** What Next.js makes of a request: the rest of the path as a list in the query, and cookies. */
function handler(options: NextAuthOptions) {
  return (request: Request, response: Response): Promise<unknown> => {
    const nextauth = request.params.action
    const pairs = (request.headers.cookie ?? '').split('; ').filter(Boolean)
    const cookies = Object.fromEntries(
      pairs.map((pair) => [
        pair.slice(0, pair.indexOf('=')),
        decodeURIComponent(pair.slice(pair.indexOf('=') + 1)),
      ]),
    )
    const { body, headers, method, query } = request
    return NextAuth({ body, headers, method, cookies, query: { ...query, nextauth } }, response, options)
  }
}

const pick = ({ access_token, refresh_token, id_token }: Tokens): Tokens => ({
  ...{ access_token, refresh_token, id_token },
})
