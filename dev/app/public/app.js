/**
 * The session of the demo app, with `oidc-client-ts` as any single-page application would use it: the gateway is the
 * authority, and nothing else about the client changes.
 */
import {
  addActivity,
  byId,
  clearResult,
  showCommands,
  showCountdown,
  showDenial,
  showReports,
  showSession,
  showSignedOut,
  showStatus,
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

function open(user, text) {
  const before = claims?.feature_flags
  claims = decode(user.access_token)
  const change = before ? difference(before, claims.feature_flags ?? []) : NOTHING
  const organization = user.profile.org_name ?? claims.org_id
  showSession({ name: user.profile.name ?? user.profile.sub, organization, claims, change })
  showCommands(commandsFor(claims))
  showStatus(before ? summary(text, change) : `${text}.`)
  addActivity(text, change)
  if (change.removed.includes(settings.reportsFlag) || change.added.includes(settings.reportsFlag)) {
    clearResult('Your entitlements have changed. Load the reports again.')
  }
  tick()
}

function close(notice) {
  claims = null
  showSignedOut(notice)
}

const difference = (before, after) => ({
  added: after.filter((flag) => !before.includes(flag)),
  removed: before.filter((flag) => !after.includes(flag)),
})

function summary(text, { added, removed }) {
  const parts = []
  if (added.length > 0) parts.push(`${added.join(', ')} added`)
  if (removed.length > 0) parts.push(`${removed.join(', ')} removed`)
  return `${text}: ${parts.join(', ') || 'nothing has changed'}.`
}

/** Commands that undo what is there or bring what is not, so that each of them changes something. */
function commandsFor({ org_id, feature_flags = [] }) {
  const toggle = (flag, on, off) => {
    const { label, rest } = feature_flags.includes(flag) ? off : on
    return { label, command: `npm run entitle -- ${rest}` }
  }
  const reports = settings.reportsFlag
  return [
    toggle(
      reports,
      { label: 'Give the reports to this organization', rest: `grant ${org_id} ${reports} --for 30d` },
      { label: 'Take the reports away', rest: `deny ${org_id} ${reports}` },
    ),
    toggle(
      'scim',
      { label: 'Start a beta', rest: `grant ${org_id} scim --source beta --for 30d` },
      { label: 'End the beta', rest: `revoke ${org_id} scim` },
    ),
    toggle(
      'csv-export',
      { label: 'Switch a flag on again', rest: 'rule csv-export --revive' },
      { label: 'Switch a flag off for everybody', rest: 'rule csv-export --kill' },
    ),
    { label: 'See every flag, and why it is on or off', command: `npm run entitle -- show ${org_id}` },
  ]
}

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
      close('Your session has ended. Log in again.')
    } else {
      showStatus(`The refresh did not work (${error.message}). Your session is kept; try again.`)
    }
  }
}

async function callApi() {
  const user = await manager.getUser()
  const response = await fetch('/api/reports', { headers: { authorization: `Bearer ${user?.access_token}` } })
  const body = await response.json()
  if (response.ok) return showReports(body)
  const command = body.missing && `npm run entitle -- grant ${claims.org_id} ${body.missing[0]} --for 30d`
  showDenial(body, command)
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

const unreachable = () => close(`The gateway at ${settings.issuer} does not answer. Is "npm start" running?`)

onClick('login', () => manager.signinRedirect().catch(unreachable))
onClick('logout', () => manager.signoutRedirect().catch(unreachable))
onClick('refresh', refresh)
onClick('call', () =>
  callApi().catch(() => showDenial({ status: 'failed', detail: 'The API does not answer.' })),
)
manager.events.addUserLoaded((user) => open(user, claims ? 'Refreshed' : 'Logged in'))
setInterval(tick, 1000)

byId('gateway').textContent = `The gateway is at ${settings.issuer}.`
byId('reports-flag').textContent = settings.reportsFlag

if (location.pathname === '/callback') {
  try {
    await manager.signinCallback()
  } catch (error) {
    close(`The log-in did not work: ${error.message}`)
  }
  history.replaceState(null, '', '/')
} else {
  const user = await manager.getUser()
  if (user && !user.expired) open(user, 'Session continued')
  else if (user?.refresh_token) await refresh()
  else close()
}
