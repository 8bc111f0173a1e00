/** A refresh and a log-out as Auth.js and next-auth want the app to write them: neither does it by itself. */
import type { Provider } from './stacks.ts'

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token: string
}

interface Endpoints {
  readonly token_endpoint: string
  readonly end_session_endpoint: string
}

const endpoints = async ({ url }: Provider): Promise<Endpoints> =>
  (await (await fetch(`${url}/.well-known/openid-configuration`)).json()) as Endpoints

export async function refreshed(provider: Provider, tokens: Tokens): Promise<Tokens> {
  const { token_endpoint } = await endpoints(provider)
  const response = await fetch(token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token,
      client_id: provider.server.id,
      client_secret: provider.server.secret,
    }),
  })
  if (!response.ok) throw new Error(`the refresh was answered ${response.status}: ${await response.text()}`)
  return { ...tokens, ...((await response.json()) as Tokens) }
}

/** Where the browser goes after the app's own session has ended. */
export async function endSessionUrl(provider: Provider, { id_token }: Tokens, home: string): Promise<string> {
  const url = new URL((await endpoints(provider)).end_session_endpoint)
  url.search = String(new URLSearchParams({ id_token_hint: id_token, post_logout_redirect_uri: home }))
  return url.href
}
