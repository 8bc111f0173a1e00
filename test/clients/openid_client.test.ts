import * as oidc from 'openid-client'
import { UserAgent } from '../e2e/support/user_agent.ts'
import { tell } from './support/story.ts'

const REDIRECT_URI = 'http://localhost:3000/callback'
const HOME_URI = 'http://localhost:3000/'

tell('openid-client', {
  provider: 'local',
  deniesTokens: true,
  async open({ issuer, server }) {
    const config = await oidc.discovery(
      new URL(issuer),
      server.id,
      undefined,
      oidc.ClientSecretBasic(server.secret),
      { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] },
    )
    const person = new UserAgent()
    let tokens: Awaited<ReturnType<typeof oidc.refreshTokenGrant>>
    return {
      async logIn() {
        const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
        const expectedNonce = oidc.randomNonce()
        const start = oidc.buildAuthorizationUrl(config, {
          redirect_uri: REDIRECT_URI,
          scope: 'openid profile',
          code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
          code_challenge_method: 'S256',
          nonce: expectedNonce,
        })
        const { url } = await person.browse(start, REDIRECT_URI)
        tokens = await oidc.authorizationCodeGrant(config, url, { pkceCodeVerifier, expectedNonce })
        return tokens.access_token
      },
      async refresh() {
        tokens = await oidc.refreshTokenGrant(config, tokens.refresh_token ?? '')
        return tokens.access_token
      },
      async logOut() {
        const parameters = { id_token_hint: tokens.id_token ?? '', post_logout_redirect_uri: HOME_URI }
        await person.browse(oidc.buildEndSessionUrl(config, parameters), HOME_URI)
      },
    }
  },
})
