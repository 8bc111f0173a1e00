/**
 * `npm run keys`: the command line over `keys/rotation.ts` (what may happen when) and `keys/file.ts` (the file).
 *
 * Every command ends with what to do next. Private key material goes to the file only, never to the terminal: a
 * terminal's output ends up in scroll-back buffers and CI logs.
 */

import { Command, InvalidArgumentError, Option } from 'commander'
import { main } from './cli.ts'
import { parseCommandLine } from './commands.ts'
import { print, report } from './io.ts'
import {
  isExposed,
  KeyFileError,
  makeFirstKeys,
  makeKey,
  readSet,
  refuseExisting,
  writeSet,
} from './keys/file.ts'
import { type Context, DEFAULT_PATH, nextSteps, putCommand, refusalText, table } from './keys/report.ts'
import {
  ALGORITHMS,
  type Algorithm,
  addNext,
  firstSet,
  type KeySet,
  nextOf,
  promote,
  type Refusal,
  replacedBy,
  retire,
  TOKEN_MAX_SECONDS,
} from './keys/rotation.ts'

interface Options {
  file: string
  tokenMaxSeconds: number
}

const FORCE = [
  '--force',
  'do not wait; for a stolen key. Services may refuse valid tokens meanwhile',
] as const

export function program(): Command {
  const command = new Command('npm run keys --')
    .description("Makes and rotates the gateway's signing keys, a private JWK Set in a file.")
    .option('--file <path>', 'the key set', DEFAULT_PATH)
    .option(
      '--token-max-seconds <n>',
      "the gateway's TOKEN_MAX_SECONDS: how long tokens live",
      wholeSeconds,
      TOKEN_MAX_SECONDS,
    )
    .addHelpText(
      'after',
      `
The order is publish, sign, retire. After each step, put the file as the gateway's secret:
  npx wrangler secret put SIGNING_KEYS < FILE

  1. next      publishes a key that does not sign yet, of the algorithm that --alg names.
               Wait 11 minutes: services cache a key set for 10, the gateway's roll-out takes 1.
  2. promote   lets it sign in place of the key of its algorithm, which stays published, without its private half.
               Wait until the last token it signed has expired: TOKEN_MAX_SECONDS and 2 minutes.
  3. retire    stops publishing it.

A step that comes too early is refused, with the time from which it is safe. "show" lists the next step.

A stolen key: next, promote --force, retire --force, then put the file.

Algorithms: the first key signs access tokens. Many clients accept ID tokens by RS256 only, so a set also has an RS256
key, which signs ID tokens where the identity provider's are signed so. To add one to an older set:
  next --alg RS256, wait, promote --beside
A secret is at most 5 KB, which holds two private RSA keys of 2048 bits and three public ones. EdDSA is Ed25519, which
everything built on jwks-rsa, HAProxy, njs, Apache's modules and the Ruby gems cannot verify: docs/clients.md has a table.`,
    )

  command
    .command('generate')
    .description('make the file with its first keys, ES256 and RS256; refuses to overwrite one')
    .addOption(new Option('--alg <algorithm>', 'make one key only, of this algorithm').choices(ALGORITHMS))
    .action(({ alg }: { alg?: Algorithm }) =>
      main(async () => {
        const { context } = start()
        await refuseExisting(context.path)
        const keys = await makeFirstKeys(context.now, alg && [alg])
        const { set } = orRefuse(firstSet(keys, context.now), context)
        await writeSet(context.path, set, true)
        const names = keys.map((key) => `${key.alg} ${key.kid}`).join(', ')
        done(set, context, `Made ${context.path}, whose keys sign: ${names}`)
      }),
    )

  command
    .command('next')
    .description('publish a key that does not sign yet')
    .addOption(
      new Option('--alg <algorithm>', "its algorithm (default: the active key's)").choices(ALGORITHMS),
    )
    .action((options: { alg?: Algorithm }) =>
      main(async () => {
        const { context, set: before } = await open()
        const key = await makeKey(options.alg ?? before.keys[0]?.alg ?? 'ES256', context.now)
        const { set } = orRefuse(addNext(before, key), context)
        await writeSet(context.path, set)
        done(set, context, `Added an ${key.alg} key, which is published and does not sign yet: ${key.kid}`)
      }),
    )

  command
    .command('promote')
    .description('make the next key sign; the previous one stays published')
    .option(...FORCE)
    .option('--beside', 'let it sign ID tokens of its algorithm beside the key that signs access tokens')
    .action(({ force, beside }: { force?: true; beside?: true }) =>
      main(async () => {
        const { context, set: before } = await open()
        const { set } = orRefuse(promote(before, context.now, { force, beside }), context)
        await writeSet(context.path, set)
        const next = nextOf(before)
        const replaced = next && !beside ? ` ${replacedBy(before, next)?.kid} lost its private half.` : ''
        done(set, context, `${next?.kid} signs now.${replaced}`)
      }),
    )

  command
    .command('retire')
    .description('stop publishing keys whose tokens have all expired')
    .option(...FORCE)
    .action(({ force }: { force?: true }) =>
      main(async () => {
        const { context, set: before } = await open()
        const { set, dropped } = orRefuse(
          retire(before, context.now, context.tokenMaxSeconds, force),
          context,
        )
        await writeSet(context.path, set)
        done(set, context, `Dropped ${dropped.join(', ')}.`)
      }),
    )

  command
    .command('show')
    .description('list the keys, what to do next and when it is safe')
    .action(() =>
      main(async () => {
        const { context, set } = await open()
        print(table(set, context))
        if (await isExposed(context.path)) {
          report(`\nOther users of this machine can read the file. Run: chmod 600 ${context.path}`)
        }
      }),
    )

  function start(): { context: Context } {
    const { file, tokenMaxSeconds } = command.opts<Options>()
    return { context: { path: file, now: new Date(), tokenMaxSeconds } }
  }

  async function open(): Promise<{ context: Context; set: KeySet }> {
    const { context } = start()
    return { context, set: await readSet(context.path) }
  }

  return command
}

function orRefuse<T extends { ok: true }>(transition: T | Refusal, context: Context): T {
  if (transition.ok) return transition
  throw new KeyFileError(refusalText(transition, context))
}

function done(set: KeySet, context: Context, what: string): void {
  print(`${what}\n\nNow:  ${putCommand(context.path)}\n${nextSteps(set, context)}`)
}

function wholeSeconds(value: string): number {
  if (!/^[1-9]\d{0,6}$/.test(value)) throw new InvalidArgumentError('It must be a whole number of seconds.')
  return Number(value)
}

if (import.meta.main) await parseCommandLine(program())
