/**
 * One read of KV, in bulk and within a time limit. A fault is a result: `kv_failed` and `kv_timeout` differ in the log, and
 * mean the same to a request, which continues with the isolate's cache.
 */

import { err, ok, type Result } from '../../core/result.ts'
import { within } from '../../core/within.ts'
import type { EntitlementsKV } from '../config.ts'

/** The minimum that KV allows for its own cache at the edge. */
const KV_CACHE_SECONDS = 30
/** A user waits for this refresh; a later answer of KV serves the next one. */
const TIMEOUT_MS = 2_000

export type KvFault = 'kv_failed' | 'kv_timeout'

/** Text by key; `null` where there is no such entry. */
export type KvTexts = ReadonlyMap<string, string | null>

export class KvReader {
  readonly #kv: EntitlementsKV

  constructor(kv: EntitlementsKV) {
    this.#kv = kv
  }

  /** @param timeoutMs - cuts the limit of every read further */
  async read(keys: readonly string[], timeoutMs = TIMEOUT_MS): Promise<Result<KvTexts, KvFault>> {
    try {
      const reading = this.#kv.get([...keys], { type: 'text', cacheTtl: KV_CACHE_SECONDS })
      const texts = await within(Math.min(timeoutMs, TIMEOUT_MS), reading)
      return texts === undefined ? err('kv_timeout') : ok(texts)
    } catch {
      return err('kv_failed')
    }
  }
}
