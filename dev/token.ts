/**
 * `npm run token`: logs in through the local gateway as one of the demo's customers, and prints the access token, to try
 * services and the gateway's own routes with. The token alone goes to stdout; everything else goes to stderr.
 */

import { Argument, Command } from 'commander'
import { decodeJwt } from 'jose'
import { main, UsageError } from './cli.ts'
import { parseCommandLine } from './commands.ts'
import { GATEWAY_PORT } from './gateway.ts'
import { accounts } from './idp/accounts.ts'
import { DEFAULT_REDIRECT_URI } from './idp/clients.ts'
import { logIn } from './login.ts'

const PREFIX = 'user_'
const GATEWAY = `http://localhost:${GATEWAY_PORT}`

async function print(person: string, issuer: string): Promise<void> {
  const account = accounts.find(({ id }) => id === PREFIX + person)
  if (!account) throw new UsageError(`There is no customer ${person}.`)
  const login = logIn({ issuer, account: account.id, redirectUri: DEFAULT_REDIRECT_URI })
  const { tokens } = await login.catch((cause: Error) => {
    throw new UsageError(`Cannot log in at ${issuer}: ${cause.message}. Is "npm start" running?`)
  })
  const { feature_flags: flags, exp = 0, iat = 0 } = decodeJwt(tokens.access_token)
  const held = Array.isArray(flags) ? `flags: ${flags.join(', ') || 'none'}` : 'no feature_flags claim'
  console.error(`${account.name} of ${account.organization.name}, for ${exp - iat} s. ${held}`)
  console.log(tokens.access_token)
}

const HELP = `
Examples:
  curl http://localhost:8789/api/reports -H "Authorization: Bearer $(npm run token --silent -- grace)"
  npm run token --silent -- ada --issuer http://localhost:9000   # one that never passed the gateway

Without --silent, npm prints what it runs to stdout as well.`

if (import.meta.main) {
  const command = new Command('npm run token --')
    .description(
      'Logs in as a customer of the demo and prints the access token. "npm start" must be running.',
    )
    .addArgument(
      new Argument('<person>', 'the customer').choices(accounts.map(({ id }) => id.slice(PREFIX.length))),
    )
    .option('--issuer <url>', 'where to log in: the gateway, or the identity provider', GATEWAY)
    .addHelpText('after', HELP)
    .action((person: string, { issuer }: { issuer: string }) => main(() => print(person, issuer)))
  await parseCommandLine(command)
}
