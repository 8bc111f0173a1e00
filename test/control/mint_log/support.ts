/** Tokens as the gateway mints them, by its own evaluation over the documents that the publisher would write. */
import { connect } from '../../../src/control/db/client.ts'
import { consumeMints, type MintBatch } from '../../../src/control/mint_log/consume.ts'
import { projectKeys } from '../../../src/control/publish/store.ts'
import {
  catalogKey,
  orgKey,
  parseCatalog,
  parseOrgDocument,
  parseUserDocument,
  userKey,
} from '../../../src/core/documents.ts'
import type { MintedEvent } from '../../../src/core/mint_event.ts'
import { entitle } from '../../../src/gateway/documents/entitle.ts'
import type { Reading } from '../../../src/gateway/documents/reading_cache.ts'
import type { Documents } from '../../../src/gateway/documents/store.ts'
import { bindings } from '../support/control.ts'
import { underLimits } from '../support/limits.ts'

export const db = () => connect(underLimits(bindings).DB).db

export const NOBODY = { upstream_jti: null, org: null, sub: null, sid: null, client: null }

export interface Ids {
  readonly org?: string
  readonly sub?: string
}

/** The documents of a subject as they are now. */
export async function documentsOf({ org, sub }: Ids, environment = 'production'): Promise<Documents> {
  const keys = [catalogKey(environment)]
  if (org !== undefined) keys.push(orgKey(environment, org))
  if (sub !== undefined) keys.push(userKey(environment, sub))
  const texts = new Map((await projectKeys(db(), environment, keys)).map(({ key, text }) => [key, text]))
  const reading = <T>(key: string, parse: (text: string) => { ok: boolean; value?: T }): Reading<T> => {
    const text = texts.get(key)
    return { document: text === undefined ? null : (parse(text).value ?? null), readAt: 0, stale: false }
  }
  const catalog = reading(catalogKey(environment), (text) => parseCatalog(text, environment))
  return {
    // An environment without a catalog was never published.
    catalog: catalog.document === null ? undefined : catalog,
    org: org === undefined ? undefined : reading(orgKey(environment, org), (t) => parseOrgDocument(t, org)),
    user:
      sub === undefined ? undefined : reading(userKey(environment, sub), (t) => parseUserDocument(t, sub)),
  }
}

/** @param now - epoch milliseconds */
export function mintFrom(
  documents: Documents,
  ids: Ids,
  now: number,
  members: Partial<MintedEvent> = {},
): MintedEvent {
  const subject = { orgId: ids.org, userId: ids.sub }
  const { flags, meta } = entitle(documents, subject, members.env ?? 'production', now)
  return {
    ...{ format: 1, type: 'token.minted', jti: crypto.randomUUID(), env: meta.env },
    ...{ ...NOBODY, org: ids.org ?? null, sub: ids.sub ?? null },
    ...{ flags: [...flags], ver: meta.ver, src: meta.src, at: now, exp: Math.floor(now / 1000) + 300 },
    request_id: 'req-1',
    ...members,
  }
}

/** A token with the claims that a test needs. */
export const minted = (members: Partial<MintedEvent> = {}): MintedEvent => ({
  ...{ format: 1, type: 'token.minted', jti: crypto.randomUUID(), env: 'production', ...NOBODY },
  ...{ flags: [], ver: '1.0', src: 'fresh', at: Date.now(), exp: Math.floor(Date.now() / 1000) + 300 },
  request_id: 'req-1',
  ...members,
})

/** Puts mints into the log by way of its consumer. */
export async function store(...events: readonly unknown[]): Promise<void> {
  for (let start = 0; start < events.length; start += 100) {
    const batch = batchOf(events.slice(start, start + 100))
    await consumeMints(batch, { db: db(), now: Date.now(), log: () => {} })
    if (batch.outcome !== 'acked') throw new Error('not stored')
  }
}

export interface TestBatch extends MintBatch {
  outcome: 'acked' | 'retried' | undefined
  delaySeconds: number | undefined
}

let messages = 0

/** A batch as the queue delivers it, which remembers what became of it. */
export const batchOf = (bodies: readonly unknown[], attempts = 1): TestBatch => ({
  messages: bodies.map((body) => ({ id: `m-${++messages}`, attempts, body })),
  outcome: undefined,
  delaySeconds: undefined,
  ackAll() {
    this.outcome = 'acked'
  },
  retryAll({ delaySeconds }) {
    this.outcome = 'retried'
    this.delaySeconds = delaySeconds
  },
})
