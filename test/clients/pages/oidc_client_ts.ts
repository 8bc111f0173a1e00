import { UserManager, WebStorageStateStore } from 'oidc-client-ts'
import { homeUri, isCallback, offer, redirectUri, settings } from '../support/page.ts'

const manager = new UserManager({
  authority: settings.issuer,
  client_id: settings.clientId,
  redirect_uri: redirectUri,
  post_logout_redirect_uri: homeUri,
  scope: 'openid profile email',
  userStore: new WebStorageStateStore({ store: sessionStorage }),
})
if (isCallback) await manager.signinCallback()

offer({
  logIn: () => manager.signinRedirect(),
  accessToken: async () => (await manager.getUser())?.access_token,
  async refresh() {
    // Without a session the library would open a frame and wait for it.
    if (!(await manager.getUser())) throw new Error('nobody is logged in')
    return (await manager.signinSilent())?.access_token ?? ''
  },
  logOut: () => manager.signoutRedirect(),
})
