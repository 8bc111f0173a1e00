/**
 * `npm run operator`: logs in at the local identity provider as one of the control plane's operators, and prints the access
 * token, for actions that take more than one person. The token is valid for minutes, on this machine only.
 */
import { Argument, Command } from 'commander'
import { main, UsageError } from './cli.ts'
import { operators } from './idp/accounts.ts'
import { CONTROL_AUDIENCE } from './idp.ts'
import { logIn } from './login.ts'

const REDIRECT_URI = 'http://localhost:8789/callback'

async function print(role: string, issuer: string): Promise<void> {
  const account = operators.find(({ operatorRole }) => operatorRole === role)?.id ?? ''
  const login = logIn({
    issuer,
    account,
    redirectUri: REDIRECT_URI,
    resource: CONTROL_AUDIENCE,
    scope: 'openid control',
  })
  const { tokens } = await login.catch((cause: Error) => {
    throw new UsageError(`Cannot log in at ${issuer}: ${cause.message}. Is "npm start" running?`)
  })
  console.log(tokens.access_token)
}

const HELP = `
Example:
  curl http://localhost:8788/api/v1/me -H "Authorization: Bearer $(npm run operator --silent -- approver)"`

if (import.meta.main) {
  const roles = operators.flatMap(({ operatorRole }) => operatorRole ?? [])
  await new Command('npm run operator --')
    .description('Prints an access token of a local operator of the control plane.')
    .addArgument(new Argument('<role>', 'the role').choices(roles))
    .option('--issuer <url>', 'the local identity provider', 'http://localhost:9000')
    .addHelpText('after', HELP)
    .action((role: string, { issuer }: { issuer: string }) => main(() => print(role, issuer)))
    .parseAsync()
}
