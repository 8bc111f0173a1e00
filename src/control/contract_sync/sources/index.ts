/** The sources that are configured, by the path of their endpoint. A new one is a folder and a line. Pure. */
import type { WebhooksConfig } from '../../config.ts'
import type { Source } from './source.ts'
import { standardSource } from './standard/source.ts'
import { stripeSource } from './stripe/source.ts'
import { workosSource } from './workos/source.ts'

/** @param fetcher - how the APIs of the sources are reached */
export function sourcesOf(
  { stripe, standard, named, workos }: WebhooksConfig,
  fetcher: typeof fetch,
): ReadonlyMap<string, Source> {
  return new Map<string, Source>([
    ...(stripe ? [['stripe', stripeSource(stripe, fetcher)] as const] : []),
    ...(standard ? [['standard', standardSource(standard)] as const] : []),
    ...named.map((one) => [`standard/${one.name}`, standardSource(one)] as const),
    ...(workos ? [['workos', workosSource(workos)] as const] : []),
  ])
}

/** A source by the name under which its events are stored. */
export const sourceNamed = (sources: ReadonlyMap<string, Source>, name: string): Source | undefined =>
  [...sources.values()].find((source) => source.name === name)
