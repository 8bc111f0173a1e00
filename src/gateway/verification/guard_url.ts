/**
 * What a guard's own URL requires. Pure.
 *
 * Some proxies append the client's path to the guard's (Envoy), some its query (Caddy). So everything after the flag's segment
 * is ignored, the query next to a flag can add to the requirement but never reduce it, and an ambiguous path is refused.
 *
 * `/guard/{flag}`, `/guard?all=a,b&any=c&freshness=live`, and for proxies that know prefixes only, the same parameters in
 * the segment: `/guard/{flag};freshness=live`, `/guard/;all=a,b`.
 */
import { FLAG_KEY } from '../../core/names.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Question } from './verdict.ts'

const MAX_REQUIRED = 100
const PARAMETERS = ['all', 'any', 'freshness']

/** Dot segments, and what a server on the way might decode into one or into a slash. */
const AMBIGUOUS = /\/\.{1,2}(?:\/|$)|%2e|%2f|%5c|\\/i

export const isGuardPath = (path: string): boolean => path === '/guard' || path.startsWith('/guard/')

/** A guard's path in a spelling that something on the way may have produced: upstream must not answer it. */
export const isMisspeltGuardPath = (path: string): boolean => /^[/\\]*guard(?:[/\\;?#.%]|$)/i.test(path)

/** Anything unknown is refused: a misspelt requirement must not count as none. */
export function parseGuardUrl(url: string): Result<Question, 'requirement_malformed'> {
  const [, path = '', search = ''] = /^[a-z]+:\/\/[^/?#]*([^?#]*)\??([^#]*)/i.exec(url) ?? []
  if (AMBIGUOUS.test(path)) return err('requirement_malformed')
  const [, , segment, ...suffix] = path.split('/')
  if (segment === '') return err('requirement_malformed')
  const [flag = '', ...matrix] = (segment ?? '').split(';')
  const own = new URLSearchParams(matrix.join('&'))
  // After a suffix the query is the client's. On the bare guard it is the whole requirement, and must parse completely.
  const query = new URLSearchParams(suffix.length === 0 ? search : '')
  const strict = segment === undefined ? [own, query] : [own]
  if (!strict.every(isWellFormed)) return err('requirement_malformed')
  // The flag's segment is always a requirement, whatever a client's query adds to it.
  const asksForNothing = segment !== undefined && flag === '' && !own.has('all') && !own.has('any')
  if (asksForNothing) return err('requirement_malformed')

  const all = [...(flag === '' ? [] : [flag]), ...list(own, 'all'), ...list(query, 'all')]
  // Two lists of alternatives would both have to be met, which one list cannot express: the guard's own counts.
  const any = list(own.has('any') ? own : query, 'any')
  const freshness = [...own.getAll('freshness'), ...query.getAll('freshness')]
  const isUnderstood =
    [...all, ...any].every((key) => FLAG_KEY.test(key)) &&
    all.length + any.length <= MAX_REQUIRED &&
    freshness.every((value) => value === 'claim' || value === 'live')
  if (!isUnderstood) return err('requirement_malformed')
  return ok({
    requirement: { all: [...new Set(all)], any: [...new Set(any)] },
    freshness: freshness.includes('live') ? 'live' : 'claim',
  })
}

/** Only known parameters, and none twice: one of two lists of alternatives would be lost. */
const isWellFormed = (parameters: URLSearchParams): boolean => {
  const names = [...parameters.keys()]
  return names.every((name) => PARAMETERS.includes(name)) && new Set(names).size === names.length
}

/** An empty list is a list of one empty name, which no flag has: it is refused, and does not count as no requirement. */
const list = (parameters: URLSearchParams, name: string): string[] =>
  parameters.getAll(name).flatMap((value) => value.split(','))
