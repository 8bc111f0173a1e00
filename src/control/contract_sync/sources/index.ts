/** The sources that are configured, by the name that stands in their path. Pure. */
import type { WebhooksConfig } from '../config.ts'
import type { Source } from '../model/source.ts'
import { standardSource } from './sources/standard.ts'
import { stripeSource } from './sources/stripe.ts'
import { workosSource } from './sources/workos.ts'

/** @param fetcher - how the APIs of the sources are reached */
export function sourcesOf(
  { stripe, standard, workos }: WebhooksConfig,
  fetcher: typeof fetch,
): ReadonlyMap<string, Source> {
  const sources = [
    stripe && stripeSource(stripe, fetcher),
    standard && standardSource(standard),
    workos && workosSource(workos),
  ]
  return new Map(sources.flatMap((source) => (source ? [[source.name, source]] : [])))
}
