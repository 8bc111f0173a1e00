/** The TypeScript in the documents compiles, in strict mode, against the sources. */
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = process.cwd()

/** What Next.js gives its middleware; the package itself is too large to install for one file. */
const NEXT = `declare module 'next/server' {
  export interface NextRequest extends Request {}
  export class NextResponse extends Response {
    static next(init: { request: { headers: Headers } }): NextResponse
  }
}
`

test('every block of TypeScript compiles', () => {
  mkdirSync(join(ROOT, '.wrangler'), { recursive: true })
  const folder = mkdtempSync(join(ROOT, '.wrangler', 'snippets-'))
  try {
    const blocks = ['README.md', ...globSync('docs/*.md')].flatMap((document) =>
      [...readFileSync(document, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code),
    )
    expect(blocks.length).toBeGreaterThan(5)
    for (const [index, code] of blocks.entries()) writeFileSync(join(folder, `block${index}.ts`), code)
    writeFileSync(join(folder, 'next.d.ts'), NEXT)
    const config = {
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions: {
        paths: {
          remint: [join(ROOT, 'src/index.ts')],
          'remint/guard': [join(ROOT, 'src/guard/index.ts')],
          'remint/guard/node': [join(ROOT, 'src/guard/node.ts')],
          'remint/testing': [join(ROOT, 'src/testing/index.ts')],
          'remint/sessions': [join(ROOT, 'src/sessions.ts')],
        },
      },
      exclude: [],
      include: ['*.ts'],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
    const compile = () => execFileSync(tsc, ['-p', folder], { stdio: 'pipe', encoding: 'utf8' })
    let problems = ''
    try {
      compile()
    } catch (error) {
      problems = String((error as { stdout?: string }).stdout ?? error)
    }
    expect(problems).toBe('')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
