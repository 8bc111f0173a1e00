import { createClient } from '@workos-inc/authkit-js'
import { homeUri, offer, redirectUri, settings } from '../support/page.ts'

const gateway = new URL(settings.url)
// The page's own address tells it whether this is the way back from the provider.
const client = await createClient(settings.clientId, {
  apiHostname: gateway.hostname,
  port: Number(gateway.port),
  https: false,
  redirectUri,
})

offer({
  logIn: () => client.signIn(),
  accessToken: () => client.getAccessToken(),
  refresh: () => client.getAccessToken({ forceRefresh: true }),
  logOut: () => client.signOut({ returnTo: homeUri }),
})
