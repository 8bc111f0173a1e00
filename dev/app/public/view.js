/**
 * What the page shows. No session and no network here: data in, DOM out.
 *
 * Text goes in as text nodes, never as markup, because flag names and API answers are not the page's own.
 */

const MAX_ACTIVITY = 6

/** @param {string} id */
export const byId = (id) => document.getElementById(id)

/** Makes an element; `props` are properties, children are nodes or text. */
function el(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props)
  element.append(...children)
  return element
}

/** @param takeFocus - when the focused element disappears with the session */
export function showSignedOut(notice, takeFocus = false) {
  byId('signed-out').hidden = false
  byId('signed-in').hidden = true
  byId('who').hidden = true
  byId('notice').hidden = !notice
  byId('notice').textContent = notice ?? ''
  if (takeFocus) byId('login').focus()
}

export function showSession({ name, organization, claims, change, noFlags }) {
  byId('signed-out').hidden = true
  byId('signed-in').hidden = false
  byId('who').hidden = false
  byId('person').textContent = name
  byId('organization').textContent = organization
  byId('flags-owner').textContent = organization
  showFlags(claims.feature_flags ?? [], change)
  byId('no-flags-text').textContent = noFlags
  const meta = claims.feature_flags_meta ?? {}
  byId('meta-src').textContent = meta.src ?? 'unknown'
  byId('meta-ver').textContent = meta.ver ?? 'unknown'
  byId('meta-src-help').textContent = SOURCES[meta.src] ?? ''
  byId('meta-ver-help').textContent = `changes: ${versions(meta.ver)}`
  byId('meta-env').textContent = meta.env ?? 'unknown'
  byId('meta-as-of').textContent = meta.as_of ? clock(new Date(meta.as_of * 1000)) : 'unknown'
  byId('token').textContent = JSON.stringify(claims, null, 2)
}

/** What `src` in the token means. */
const SOURCES = {
  fresh: 'current entitlements',
  stale: 'the last known entitlements',
  degraded: 'only flags that everybody has',
}

/** `6.5.1` names the last change in each of three documents. */
function versions(ver = '') {
  const names = ['catalog', 'organization', 'user']
  return ver
    .split('.')
    .filter(Boolean)
    .map((number, i) => `${names[i]} ${number}`)
    .join(', ')
}

function showFlags(flags, { added, removed }) {
  const chip = (flag, className, tag) =>
    el('li', { className }, el('span', {}, flag), ...(tag ? [el('span', { className: 'tag' }, tag)] : []))
  byId('flags').replaceChildren(
    ...flags.map((flag) => (added.includes(flag) ? chip(flag, 'added', 'new') : chip(flag, ''))),
    ...removed.map((flag) => chip(flag, 'removed', 'gone')),
  )
  byId('no-flags').hidden = flags.length > 0
}

export function showStatus(text, failed = false) {
  byId('status').classList.toggle('failed', failed)
  byId('status').textContent = text
}

/** Announces it to screen readers, even if it is the same as before. */
function announce(text) {
  byId('announcer').textContent = ''
  setTimeout(() => {
    byId('announcer').textContent = text
  }, 50)
}

/** A line of the activity list, newest first. */
export function addActivity(text, { added, removed }) {
  const delta = [
    ...added.map((flag) => el('span', { className: 'plus' }, `+${flag}`)),
    ...removed.map((flag) => el('span', { className: 'minus' }, `-${flag}`)),
  ]
  const list = byId('activity')
  list.prepend(
    el(
      'li',
      {},
      el('time', {}, clock(new Date())),
      el('div', {}, text, ...(delta.length > 0 ? [el('div', { className: 'delta' }, ...delta)] : [])),
    ),
  )
  while (list.children.length > MAX_ACTIVITY) list.lastElementChild.remove()
}

export function showCountdown(secondsLeft, lifetimeSeconds) {
  const left = Math.max(0, Math.floor(secondsLeft))
  byId('countdown').textContent =
    left === 0 ? 'expired' : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`
  byId('lifetime').value = lifetimeSeconds > 0 ? left / lifetimeSeconds : 0
}

export function showReports({ reports }) {
  const rows = reports.map(({ name, value, change }) =>
    el('tr', {}, el('th', { scope: 'row' }, name), el('td', {}, value), el('td', {}, change)),
  )
  byId('result').replaceChildren(
    outcome('allowed', '200', 'Your token holds the flag.'),
    el('table', {}, ...rows),
  )
}

/** @param {{label: string, command: string}[]} commands - what to do about it, the most likely first */
export function showDenial({ status, detail }, commands = []) {
  byId('result').replaceChildren(
    outcome('denied', String(status), detail),
    ...commands.map(({ label, command }) =>
      el('div', { className: 'next' }, el('p', { className: 'command-label' }, label), copyable(command)),
    ),
  )
}

export function clearResult(text) {
  byId('result').replaceChildren(el('p', { className: 'placeholder' }, text))
}

const outcome = (className, status, text) =>
  el('p', { className: `outcome ${className}` }, el('b', {}, status), el('span', {}, text))

/** @param {{label: string, command: string}[]} commands */
export function showCommands(commands) {
  byId('commands').replaceChildren(
    ...commands.map(({ label, command }) =>
      el('li', {}, el('p', { className: 'command-label' }, label), copyable(command)),
    ),
  )
}

/** @param secret - what to copy, if it differs from what is shown */
function copyable(command, secret = () => command) {
  const button = el('button', { type: 'button', ariaLabel: `Copy: ${command}` }, 'Copy')
  copies(button, secret, 'Command copied')
  // A line breaks between words only, never inside one: `--for` is one word.
  const words = command.split(' ').flatMap((word) => [el('span', {}, word), ' '])
  return el('div', { className: 'command' }, el('code', {}, ...words), button)
}

/** Makes a button copy, and confirm it visibly and to screen readers. */
export function copies(button, text, done) {
  const label = button.textContent
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(await text())
      button.textContent = 'Copied'
      announce(`${done}.`)
    } catch {
      button.textContent = 'Not copied'
      announce('The browser does not allow copying.')
    }
    setTimeout(() => {
      button.textContent = label
    }, 1500)
  })
}

/** @param token - returns the token that replaces `$TOKEN` */
export function showVerify(command, token) {
  byId('verify').replaceChildren(
    copyable(command, async () => command.replace('$TOKEN', await token())),
    el('p', { className: 'muted' }, 'Copying this command replaces $TOKEN by your token.'),
  )
}

const clock = (date) => date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' })
