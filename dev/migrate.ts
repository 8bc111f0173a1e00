/** `npm run migrate`: applies the migrations to the local D1; with `--remote`, to the one that is deployed. */
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { main, UsageError } from './cli.ts'
import { migrate } from './local_d1.ts'
import { PROJECT, STATE } from './wrangler.ts'

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    remote: { type: 'boolean' },
    state: { type: 'string', default: STATE },
  },
})

if (values.help) {
  console.log(`npm run migrate -- [--state <folder> | --remote]

Applies the migrations in migrations/ that the database does not have yet: locally in .wrangler/state,
or with --remote to the database in wrangler.control.toml.`)
} else {
  await main(async () => {
    if (!values.remote) {
      const applied = await migrate(values.state)
      console.log(applied.length === 0 ? 'No migrations to apply.' : `Applied ${applied.join(', ')}.`)
      return
    }
    const args = ['d1', 'migrations', 'apply', 'DB', '--remote', '--config', 'wrangler.control.toml']
    const { status } = spawnSync('wrangler', args, { cwd: PROJECT, stdio: 'inherit' })
    if (status !== 0) throw new UsageError('wrangler did not apply the migrations.')
  })
}
