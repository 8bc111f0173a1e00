import express from 'express'
import { auth } from 'express-openid-connect'
import { tell } from './support/story.ts'
import { startWebApp, tokenOf } from './support/web_app.ts'

tell('express-openid-connect', {
  provider: 'local',
  deniesTokens: true,
  async open(provider, running) {
    const app = await startWebApp(running, (baseURL) =>
      express()
        .use(
          auth({
            ...{ baseURL, issuerBaseURL: provider.issuer, secret: 'a-secret-of-32-characters-or-more' },
            ...{ clientID: provider.server.id, clientSecret: provider.server.secret },
            authorizationParams: { response_type: 'code', scope: 'openid profile email' },
            ...{ authRequired: false, idpLogout: true },
          }),
        )
        .get('/', (_request, response) => void response.send('home'))
        .get('/token', (request, response) => void response.json(request.oidc.accessToken ?? {}))
        .get('/refresh', async (request, response) => {
          response.json((await request.oidc.accessToken?.refresh()) ?? {})
        }),
    )
    return {
      async logIn() {
        await app.visit('/login')
        return tokenOf(await app.visit('/token'))
      },
      refresh: async () => tokenOf(await app.visit('/refresh')),
      logOut: async () => void (await app.visit('/logout')),
    }
  },
})
