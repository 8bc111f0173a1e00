import { createAuth0Client } from '@auth0/auth0-spa-js'
import { homeUri, isCallback, offer, redirectUri, settings } from '../support/page.ts'

const client = await createAuth0Client({
  domain: settings.url,
  clientId: settings.clientId,
  authorizationParams: { redirect_uri: redirectUri, audience: 'https://api.example.com' },
  useRefreshTokens: true,
  cacheLocation: 'localstorage',
})
if (isCallback) await client.handleRedirectCallback()

offer({
  logIn: () => client.loginWithRedirect(),
  accessToken: () => client.getTokenSilently(),
  refresh: async () => (await client.getTokenSilently({ cacheMode: 'off' })) ?? '',
  logOut: () => client.logout({ logoutParams: { returnTo: homeUri } }),
})
