/**
 * The proxies of `docs/proxies.md`, started with the files that stand there. Only the addresses are changed, and where
 * HAProxy finds the Lua: tests must not take the ports of the developer who runs them.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROJECT } from '../../../dev/wrangler.ts'
import { freePort } from '../../e2e/support/stage.ts'
import { eventually } from '../../support/eventually.ts'
import { send } from './http.ts'

export interface RunningProxy {
  readonly url: string
  close(): Promise<void>
}

export interface Setting {
  /** `host:port` */
  readonly gateway: string
  readonly app: string
  /** Breaks a file of the documentation, to see what the others make of it. */
  readonly change?: (text: string) => string
}

type Files = (
  snippet: (language: string) => string,
  folder: string,
  port: number,
) => {
  readonly files: Record<string, string>
  readonly command: readonly string[]
}

const PROXIES: Readonly<Record<string, Files>> = {
  nginx: (snippet, folder) => ({
    files: {
      'remint.conf': snippet('nginx'),
      'nginx.conf': `daemon off;
pid ${folder}/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path ${folder}/body;
    proxy_temp_path ${folder}/proxy;
    fastcgi_temp_path ${folder}/fastcgi;
    uwsgi_temp_path ${folder}/uwsgi;
    scgi_temp_path ${folder}/scgi;
    include ${folder}/remint.conf;
}
`,
    },
    command: ['nginx', '-c', `${folder}/nginx.conf`, '-p', folder],
  }),
  caddy: (snippet, folder) => ({
    files: { Caddyfile: `{\n\tadmin off\n\tauto_https off\n}\n${snippet('caddyfile')}` },
    command: ['caddy', 'run', '--adapter', 'caddyfile', '--config', `${folder}/Caddyfile`],
  }),
  haproxy: (snippet, folder) => ({
    files: {
      'remint.lua': snippet('lua'),
      'haproxy.cfg': snippet('haproxy').replace('/etc/haproxy/remint.lua', `${folder}/remint.lua`),
    },
    command: ['haproxy', '-db', '-f', `${folder}/haproxy.cfg`],
  }),
}

export const PROXY_NAMES = Object.keys(PROXIES)

/** Why a proxy cannot be tested here, or nothing. */
export function missing(name: string): string | undefined {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], {
      env: { ...process.env, PATH: searchPath() },
      stdio: 'pipe',
    })
    return undefined
  } catch {
    return `${name} is not installed (apt-get install ${name})`
  }
}

/** Debian puts servers where only root looks. */
const searchPath = (): string => `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

/** What must not outlive this process, however it ends. */
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export async function startProxy(
  name: string,
  { gateway, app, change = (text) => text }: Setting,
): Promise<RunningProxy> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), `remint-${name}-`))
  const document = readFileSync(join(PROJECT, 'docs', 'proxies.md'), 'utf8')
  const snippet = (language: string) => {
    const text = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(document)?.[1]
    if (text === undefined) throw new Error(`docs/proxies.md has no ${language} file`)
    return change(text)
      .replaceAll('127.0.0.1:8787', gateway)
      .replaceAll('127.0.0.1:3000', app)
      .replaceAll(/\b8080\b/g, String(port))
  }
  const makeFiles = PROXIES[name] as Files
  const { files, command } = makeFiles(snippet, folder, port)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
  mkdirSync(join(folder, 'logs'))
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, PATH: searchPath(), HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const exited = new Promise<void>((ended) => child.once('exit', () => ended()))
  const url = `http://127.0.0.1:${port}`
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${output}`)
    return send(`${url}/`).catch(() => undefined)
  }, name)
  return {
    url,
    close: async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 2000)
      await exited
      clearTimeout(timer)
      children.delete(child)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
