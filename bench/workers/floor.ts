/**
 * The floor of a verification: parse the JSON body, check one ES256 signature with WebCrypto, answer. No claim is
 * looked at and no document read, so that nothing which verifies a token at all can do much less.
 */
import { Buffer } from 'node:buffer'

interface Env {
  PUBLIC_KEY: string
}

const ALGORITHM = { name: 'ECDSA', hash: 'SHA-256', namedCurve: 'P-256' }
const encoder = new TextEncoder()
let key: Promise<CryptoKey> | undefined

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { token } = (await request.json()) as { token: string }
    key ??= crypto.subtle.importKey('jwk', JSON.parse(env.PUBLIC_KEY), ALGORITHM, false, ['verify'])
    const dot = token.lastIndexOf('.')
    const signature = Buffer.from(token.slice(dot + 1), 'base64url')
    const active = await crypto.subtle.verify(
      ALGORITHM,
      await key,
      signature,
      encoder.encode(token.slice(0, dot)),
    )
    return Response.json({ active })
  },
}
