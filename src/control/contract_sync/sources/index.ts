/** The sources: a new one is a folder and a line here. Pure. */
import { paddle } from './paddle/source.ts'
import type { SourceContext, SourceKind, Vars } from './settings.ts'
import type { Source } from './source.ts'
import { standard } from './standard/source.ts'
import { stripe } from './stripe/source.ts'
import { workos } from './workos/source.ts'

const KINDS: readonly SourceKind[] = [stripe, paddle, standard, workos]

/** Those that are configured, by the path of their endpoint. */
export function configureSources(vars: Vars, context: SourceContext) {
  const all = KINDS.map((kind) => kind(vars, context))
  return {
    sources: new Map<string, Source>(all.flatMap(({ endpoints }) => endpoints)),
    problems: all.flatMap(({ problems }) => problems),
  }
}

/** A source by the name under which its events are stored. */
export const sourceNamed = (sources: ReadonlyMap<string, Source>, name: string): Source | undefined =>
  [...sources.values()].find((source) => source.name === name)
