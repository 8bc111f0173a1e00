/**
 * The mint log's event for a token: who got what from which documents, and no token or secret. Pure.
 *
 * Upstream's claims can have any form; here an id is a string of limited length, or `null`.
 */
import { type Claims, documentId, type SubjectIds } from '../../core/claims.ts'
import type { MintedEvent } from '../../core/mint_event.ts'
import { MINT_EVENT_FORMAT } from '../../core/names.ts'
import type { Entitlements } from '../documents/entitle.ts'
import type { MintedToken } from './mint.ts'

/**
 * @param claims - of upstream's token
 * @param now - at which the flags were evaluated; epoch milliseconds
 */
export function mintedEvent(
  claims: Claims,
  subject: SubjectIds,
  { flags, meta }: Pick<Entitlements, 'flags' | 'meta'>,
  { jti, exp }: Pick<MintedToken, 'jti' | 'exp'>,
  requestId: string,
  now: number,
): MintedEvent {
  return {
    type: 'token.minted',
    format: MINT_EVENT_FORMAT,
    env: meta.env,
    jti,
    upstream_jti: typeof claims.jti === 'string' ? id(claims.jti) : null,
    org: subject.orgId ?? null,
    sub: subject.userId ?? null,
    sid: id(claims.sid),
    client: id(claims.client_id) ?? id(claims.azp),
    flags: [...flags],
    ver: meta.ver,
    src: meta.src,
    at: now,
    exp,
    request_id: requestId,
  }
}

const id = (claim: unknown): string | null => documentId(claim) ?? null
