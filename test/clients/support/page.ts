/** What a page of `pages/` offers to the test that drives it. Runs in the browser. */
export interface PageClient {
  /** Leaves the page for the provider. */
  logIn(): unknown
  refresh(): Promise<string>
  accessToken(): Promise<string | undefined>
  /** Leaves the page, or not. */
  logOut(): unknown
}

declare global {
  var remintClient: PageClient | undefined
}

export const settings = await (await fetch('/settings.json')).json()

export const redirectUri = `${location.origin}/callback`
export const homeUri = `${location.origin}/`
export const isCallback = location.pathname === '/callback'

export function offer(client: PageClient): void {
  if (isCallback) history.replaceState(null, '', '/')
  globalThis.remintClient = client
}
