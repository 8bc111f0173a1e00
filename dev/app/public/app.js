/**
 * The session of the demo app, with `oidc-client-ts` as any single-page application would use it: the gateway is the
 * authority, and nothing else about the client changes.
 */
import {
  addActivity,
  byId,
  clearResult,
  copies,
  showCommands,
  showCountdown,
  showDenial,
  showReports,
  showSession,
  showSignedOut,
  showStatus,
  showVerify,
} from './view.js'

const { UserManager, WebStorageStateStore } = window.oidc
const settings = await (await fetch('/settings.json')).json()

const manager = new UserManager({
  authority: settings.issuer,
  client_id: settings.clientId,
  redirect_uri: `${location.origin}/callback`,
  post_logout_redirect_uri: `${location.origin}/`,
  scope: 'openid profile email reports:read',
  userStore: new WebStorageStateStore({ store: sessionStorage }),
  automaticSilentRenew: true,
})

const NOTHING = { added: [], removed: [] }

/** The claims of the access token in use, or `null`. An app only reads them; an API verifies. */
let claims = null

/** Every flag that this session has had: a missing one of these was taken away; others have to be granted. */
const seen = new Set()

const PROPAGATION = 'A change takes up to 5 s to arrive.'

function open(user, text) {
  const before = claims?.feature_flags
  claims = decode(user.access_token)
  const change = before ? difference(before, claims.feature_flags ?? []) : NOTHING
  const organization = user.profile.org_name ?? claims.org_id
  for (const flag of claims.feature_flags ?? []) seen.add(flag)
  showSession({
    name: user.profile.name ?? user.profile.sub,
    organization,
    claims,
    change,
    noFlags:
      seen.size > 0
        ? `${organization} has no flags any more. “Change something” has a command that shows why.`
        : `${organization} has no flags yet. Grant one with a command from “Change something”, then refresh.`,
  })
  showCommands(commandsFor(claims))
  showStatus(before ? summary(text, change) : `${text}.`)
  addActivity(text, change)
  if (change.removed.includes(settings.reportsFlag) || change.added.includes(settings.reportsFlag)) {
    clearResult('Your entitlements have changed. Load the reports again.')
  }
  tick()
}

function close(notice, takeFocus) {
  claims = null
  seen.clear()
  showSignedOut(notice, takeFocus)
}

const difference = (before, after) => ({
  added: after.filter((flag) => !before.includes(flag)),
  removed: before.filter((flag) => !after.includes(flag)),
})

function summary(text, { added, removed }) {
  const parts = []
  if (added.length > 0) parts.push(`${added.join(', ')} added`)
  if (removed.length > 0) parts.push(`${removed.join(', ')} removed`)
  return `${text}: ${parts.join(', ') || `nothing has changed. ${PROPAGATION.slice(0, -1)}`}.`
}

/** Commands that change something: they remove flags that are on and grant flags that are off. */
function commandsFor({ org_id, feature_flags = [] }) {
  const reports = settings.reportsFlag
  const beta = feature_flags.includes('scim')
    ? { label: 'End the beta of scim (user provisioning)', command: entitle(`revoke ${org_id} scim`) }
    : {
        label: 'Start a beta: scim (user provisioning) for 30 days',
        command: entitle(`grant ${org_id} scim --source beta --for 30d`),
      }
  return [
    ...(feature_flags.includes(reports)
      ? [
          {
            label: 'In an incident: switch the reports off for everybody',
            command: entitle(`rule ${reports} --kill`),
          },
        ]
      : waysToGet(org_id, reports)),
    beta,
    { label: 'See every flag, and why it is on or off', command: entitle(`show ${org_id}`) },
  ]
}

/** How an organization gets a flag. One that it had may have been killed, and then a grant does not help. */
function waysToGet(org_id, flag) {
  const grant = {
    label: `Grant ${flag} to this organization`,
    command: entitle(`grant ${org_id} ${flag} --source beta --for 30d`),
  }
  const revive = {
    label: `Switch ${flag} on again, if it was killed`,
    command: entitle(`rule ${flag} --revive`),
  }
  return seen.has(flag) ? [revive, grant] : [grant]
}

const entitle = (rest) => `${settings.entitle} ${rest}`

const verifyCommand = () =>
  [
    `curl ${settings.issuer}/verify -H "authorization: Bearer $TOKEN" -H "content-type: application/json"`,
    `-d '{"features":{"all":["${settings.reportsFlag}"]}}'`,
  ].join(' ')

/** The payload of a JWT, unverified. */
function decode(token) {
  const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))))
}

async function refresh() {
  showStatus('Refreshing …')
  try {
    await manager.signinSilent()
  } catch (error) {
    if (error.error === 'invalid_grant') {
      await manager.removeUser()
      return close('Your session has ended. Log in again.', true)
    }
    // An error of the token endpoint has a code; without one, there was no response.
    const why = error.error ? `The refresh failed (${error.message}).` : NO_ANSWER
    const text = `${why} You are still logged in; try again.`
    if (claims) showStatus(text, true)
    else close(text)
  }
}

async function callApi() {
  const user = await manager.getUser()
  const response = await fetch('/api/reports', { headers: { authorization: `Bearer ${user?.access_token}` } })
  const body = await response.json()
  if (response.ok) return showReports(body)
  if (!body.missing) return showDenial(body)
  const why = {
    label: 'See why it is off (a killed flag needs --revive)',
    command: entitle(`show ${claims.org_id}`),
  }
  const ways = waysToGet(claims.org_id, body.missing[0])
  showDenial(body, seen.has(body.missing[0]) ? [why, ...ways.slice(0, 1)] : [...ways, why])
}

function tick() {
  if (claims) showCountdown(claims.exp - Date.now() / 1000, claims.exp - claims.iat)
}

/** Runs one action at a time per button, and keeps the focus where it is. */
function onClick(id, action) {
  const button = byId(id)
  button.addEventListener('click', async () => {
    if (button.ariaDisabled === 'true') return
    button.ariaDisabled = 'true'
    try {
      await action()
    } finally {
      button.ariaDisabled = 'false'
    }
  })
}

const NO_ANSWER = `The gateway at ${settings.issuer} does not respond. Is npm start running?`

/** Checked before the page navigates to the gateway, which could otherwise end on the browser's error page. */
const reachable = () =>
  fetch(`${settings.issuer}/healthz`, { mode: 'no-cors', signal: AbortSignal.timeout(3000) }).then(
    () => true,
    () => false,
  )

async function logIn() {
  if (!(await reachable())) return close(NO_ANSWER)
  await manager.signinRedirect().catch((error) => close(`The log-in failed: ${error.message}`))
}

/** A log-in can be finished once: after that its state is deleted and its code is spent. */
function whyNoLogIn({ error, message }) {
  const used = error === 'invalid_grant' || (error === undefined && /\bstate\b/.test(message))
  return used ? 'This log-in link was used already. Log in again.' : `The log-in failed: ${message}`
}

async function logOut() {
  if (await reachable()) {
    try {
      return await manager.signoutRedirect()
    } catch {
      // Below: the session ends here, and the page says that it goes on at the identity provider.
    }
  }
  await manager.removeUser()
  close(`You are logged out of this app, but not of the identity provider. ${NO_ANSWER}`, true)
}

onClick('login', logIn)
onClick('logout', logOut)
onClick('refresh', refresh)
onClick('call', () =>
  callApi().catch(() =>
    showDenial({ status: 'failed', detail: 'The API does not respond. Is npm start running?' }),
  ),
)
const accessToken = async () => (await manager.getUser())?.access_token ?? ''
copies(byId('copy-token'), accessToken, 'Access token copied')
showVerify(verifyCommand(), accessToken)
manager.events.addUserLoaded((user) => open(user, claims ? 'Refreshed' : 'Logged in'))
setInterval(tick, 1000)

byId('gateway').textContent = `The gateway is at ${settings.issuer}.`
byId('reports-flag').textContent = settings.reportsFlag

if (location.pathname === '/callback') {
  try {
    await manager.signinCallback()
  } catch (error) {
    close(whyNoLogIn(error))
  }
  history.replaceState(null, '', '/')
} else {
  const user = await manager.getUser()
  if (user && !user.expired) open(user, 'Session continued')
  else if (user?.refresh_token) await refresh()
  else close()
}
