/**
 * A copy of the sources in which every `await` is a place for a fault: `await x` becomes `await __reach('file:line', x)`.
 *
 * So the faults need nothing in the sources themselves, and no `await` can be forgotten. The copy lies under `.wrangler`,
 * where packages are found as from the sources.
 */
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseAst } from 'vitest/node'
import { PROJECT } from '../../dev/wrangler.ts'

const COPY = join(PROJECT, '.wrangler', 'faults')

export interface Point {
  /** `sessions/session.ts:71`. */
  readonly id: string
  /** What is awaited, as it stands in the source. */
  readonly text: string
}

/** Copies `src` and the Workers of this folder, instrumented, and gives every await that a fault can be planned at. */
export function instrument(): Point[] {
  rmSync(COPY, { recursive: true, force: true })
  mkdirSync(COPY, { recursive: true })
  for (const folder of ['src', 'test/faults/workers'])
    cpSync(join(PROJECT, folder), join(COPY, folder), { recursive: true })
  const files = globSync(['src/**/*.ts', 'test/faults/workers/proxy.ts'], { cwd: COPY })
  return files.flatMap((file) => {
    const { text, points } = instrumented(readFileSync(join(COPY, file), 'utf8'), shortName(file))
    writeFileSync(join(COPY, file), text)
    return points
  })
}

/** Writes the configuration of a Worker of the copy, for wrangler to bundle. */
export function configure(name: 'gateway' | 'proxy', compatibilityDate: string): string {
  const file = join(COPY, `${name}.json`)
  const main = join(COPY, 'test/faults/workers', `${name}.ts`)
  writeFileSync(file, JSON.stringify({ name, main, compatibility_date: compatibilityDate }))
  return file
}

const shortName = (file: string): string => relative('src/gateway', file).replace(/^(\.\.\/)+/, '')

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly argument?: Node
}

function instrumented(source: string, file: string): { text: string; points: Point[] } {
  const awaited: Node[] = []
  collect(parseAst(source, { lang: 'ts' }), awaited)
  const points = awaited.map(({ start, end }) => ({
    id: `${file}:${source.slice(0, start).split('\n').length}`,
    text: source.slice(start, end).replace(/\s+/g, ' '),
  }))
  const insertions = awaited.flatMap(({ end }, index) => {
    const argument = (awaited[index] as { argument: Node }).argument
    return [
      { at: argument.start, text: `__reach(${JSON.stringify(points[index]?.id)}, ` },
      { at: end, text: ')' },
    ]
  })
  let text = source
  for (const { at, text: inserted } of insertions.toSorted((a, b) => b.at - a.at))
    text = text.slice(0, at) + inserted + text.slice(at)
  return { text, points }
}

function collect(node: unknown, awaited: Node[]): void {
  if (Array.isArray(node)) for (const child of node) collect(child, awaited)
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return
  if ((node as Node).type === 'AwaitExpression') awaited.push(node as Node)
  for (const child of Object.values(node)) collect(child, awaited)
}
