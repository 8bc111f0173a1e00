/**
 * The pages of the local IdP: log in, log out, and what went wrong. Pure: data to HTML.
 *
 * Plain forms that work without a script and over plain HTTP, so that `npm run demo` uses the same page as a person.
 * The policy allows this style sheet and this script by hash and nothing else. It names no `form-action`, because
 * browsers apply that to the redirects after the form too, and those lead to the client.
 */
import { createHash } from 'node:crypto'
import { html, raw } from 'hono/html'
import type { Account } from './accounts.ts'

const STYLE = `
:root { color-scheme: light dark; --bg: #f5f6f2; --card: #fff; --text: #14201b; --muted: #55635c; --line: #dde2db;
  --accent: #0b6b4a; --on-accent: #fff; --hover: #f1f3ee }
@media (prefers-color-scheme: dark) { :root { --bg: #0c1210; --card: #131b18; --text: #e8efeb; --muted: #9aaba2;
  --line: #25302b; --accent: #5fdca6; --on-accent: #0c1210; --hover: #1a2420 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; padding: 1.5rem; background: var(--bg);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
main { width: min(26rem, 100%); background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
  padding: 2rem; box-shadow: 0 1px 2px #0000000d, 0 12px 32px #00000014 }
.badge { margin: 0 0 1rem; color: var(--muted); font-size: .8125rem; letter-spacing: .02em }
h1 { margin: 0 0 .25rem; font-size: 1.375rem; line-height: 1.25; letter-spacing: -.01em }
p { margin: 0 0 1.25rem; color: var(--muted); text-wrap: balance }
form { display: grid; gap: .75rem }
button { font: inherit; color: inherit; cursor: pointer; border-radius: .75rem; border: 1px solid var(--line) }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
.account { display: grid; grid-template-columns: 2.75rem 1fr auto; gap: 0 .875rem; align-items: center;
  padding: .875rem; text-align: left; background: none }
.account:hover { background: var(--hover); border-color: var(--accent) }
.initials { grid-row: span 2; display: grid; place-items: center; width: 2.75rem; height: 2.75rem; border-radius: 50%;
  background: var(--accent); color: var(--on-accent); font-weight: 600; font-size: .9375rem }
.name { font-weight: 600 }
.organization { color: var(--muted); font-size: .8125rem; border: 1px solid var(--line); border-radius: 99px;
  padding: .0625rem .625rem }
.email { grid-column: 2 / -1; color: var(--muted); font-size: .875rem }
.primary { padding: .75rem; background: var(--accent); border-color: var(--accent); color: var(--on-accent);
  font-weight: 600 }
a { color: var(--accent); text-underline-offset: .2em; overflow-wrap: anywhere }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: .25rem }
a.primary { display: block; text-align: center; text-decoration: none; border-radius: .75rem }
ul { list-style: none; margin: 1.5rem 0 0; padding: 1.25rem 0 0; border-top: 1px solid var(--line); display: grid;
  gap: .75rem; font-size: .875rem }
li span { display: block; color: var(--muted); font-size: .8125rem }
.note { margin: 1.5rem 0 0; font-size: .8125rem }
code { font-size: .875em; overflow-wrap: anywhere }
`

const SUBMIT = `document.querySelector('button').click()`

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** What the pages may load and run. Sent with every page. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src ${hash(STYLE)}; script-src ${hash(SUBMIT)}; base-uri 'none'; frame-ancestors 'none'`,
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

type Markup = ReturnType<typeof html>

const IDENTITY_PROVIDER = 'Local identity provider'

const page = (title: string, body: Markup, badge = IDENTITY_PROVIDER): string =>
  String(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<main>
<p class="badge">${badge}</p>
${body}
</main>
</body>
</html>`)

export const loginPage = (client: string, accounts: readonly Account[]): string =>
  page(
    'Log in',
    html`<h1>Log in to ${client}</h1>
<p>Choose who you are. No password needed.</p>
<form method="post">
${accounts.map(
  (account) => html`<button class="account" name="account" value="${account.id}">
<span class="initials" aria-hidden="true">${initials(account.name)}</span>
<span class="name">${account.name}</span>
<span class="organization">${account.organization.name}</span>
<span class="email">${account.email}</span>
</button>`,
)}
</form>
<p class="note">This page stands in for your own IdP. It runs on your machine and forgets everything when it stops.</p>`,
  )

/**
 * The page at the address that the terminal prints. The gateway proxies it, so its address shows the page too, with a text
 * about the gateway.
 */
export const homePage = (app: string, throughGateway: boolean): string =>
  throughGateway
    ? page(
        'Remint gateway',
        html`<h1>The gateway is running</h1>
<p>It re-signs every access token of the identity provider behind it, with the flags that hold now.</p>
<a class="primary" href="${app}">Open the demo app</a>
<ul>
${link('/healthz', 'liveness and configuration problems')}
${link('/.well-known/openid-configuration', 'the discovery document for clients')}
${link('/.well-known/jwks.json', 'the public keys that verify its tokens')}
${route('POST /verify', 'a decision about a token; the demo app has a command to try')}
${route('GET /guard/{flag}', 'forward-auth for nginx, Caddy, Traefik, Envoy and HAProxy')}
${route('POST /introspect', 'token introspection, RFC 7662')}
${route('POST /access/v1/evaluation', 'AuthZEN 1.0')}
${route('POST /ofrep/v1/evaluate/flags', 'OFREP, for OpenFeature providers')}
</ul>`,
        'Remint gateway, on your machine',
      )
    : page(
        IDENTITY_PROVIDER,
        html`<h1>The identity provider is running</h1>
<p>It stands in for your own. Apps do not use this address: they log in through the gateway in front of it.</p>
<a class="primary" href="${app}">Open the demo app</a>
<ul>
${link('/.well-known/openid-configuration', 'its discovery document')}
${link('/jwks', 'the public keys that the gateway verifies its tokens with')}
</ul>`,
      )

const link = (path: string, what: string): Markup =>
  html`<li><a href="${path}"><code>${path}</code></a><span>${what}</span></li>`

const route = (name: string, what: string): Markup => html`<li><code>${name}</code><span>${what}</span></li>`

/** Submits itself where scripts run; where they do not, the button is there. */
export const logoutPage = (action: string, xsrf: string): string =>
  page(
    'Log out',
    html`<h1>Logging you out</h1>
<p>You will return to the app.</p>
<form method="post" action="${action}">
<input type="hidden" name="xsrf" value="${xsrf}">
<button class="primary" name="logout" value="yes">Log out</button>
</form>
<script>${raw(SUBMIT)}</script>`,
  )

export const loggedOutPage = (): string =>
  page('Logged out', html`<h1>You are logged out</h1><p>You can close this page.</p>`)

export const notFoundPage = (): string =>
  page('Not found', html`<h1>Not found</h1><p>There is no page at this address.</p>`)

export const errorPage = (error: string, description: string | undefined): string =>
  page(
    'Something went wrong',
    html`<h1>That did not work</h1>
<p>${description ?? 'The request could not be completed.'} <code>${error}</code></p>
<p>Go back to the application and try again.</p>`,
  )

const initials = (name: string): string =>
  name
    .split(' ')
    .map((word) => word.charAt(0))
    .join('')
