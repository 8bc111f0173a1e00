/**
 * Reads a response of upstream far enough to see whether it holds an access token, and returns it complete.
 *
 * Bounded: only the beginning of a larger body is inspected, and the body is streamed on. A token response is about 10 KiB.
 */
import { concat } from './body.ts'
import { accessTokensIn } from './token_search.ts'

export const MAX_INSPECTED_BYTES = 256 * 1024

/** Types without text that a client would read a token from. */
const NOT_TEXT = /^(image|audio|video|font)\/|event-stream|octet-stream|zip|pdf|protobuf|grpc|javascript|css/i

/** Encodings that the runtime decodes itself. */
export const isUnpacked = (headers: Headers): boolean =>
  /^((x-)?gzip|br|identity|)$/i.test(headers.get('content-encoding')?.trim() ?? '')

export interface Inspected {
  /** The response to pass on. */
  readonly response: Response
  /** The whole text, if it was short enough. */
  readonly text: string | undefined
  /** The JWTs that are named access tokens. */
  readonly tokens: readonly string[]
}

/** @throws if the body breaks off */
export async function inspect(response: Response): Promise<Inspected> {
  const isText = !NOT_TEXT.test(response.headers.get('content-type') ?? '')
  if (!response.body || !isText || !isUnpacked(response.headers))
    return { response, text: undefined, tokens: [] }
  const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  const chunks: Uint8Array[] = []
  let size = 0
  let isWhole = false
  while (size <= MAX_INSPECTED_BYTES) {
    const { done, value } = await reader.read()
    isWhole = done
    if (done) break
    chunks.push(value)
    size += value.byteLength
  }
  const bytes = concat(chunks)
  const text = new TextDecoder().decode(bytes)
  const headers = new Headers(response.headers)
  // The body is decoded by now, and the runtime sets its length.
  for (const name of ['content-length', 'content-encoding']) headers.delete(name)
  const { status, statusText } = response
  const body = isWhole ? bytes : rest(bytes, reader)
  return {
    response: new Response(size === 0 ? null : body, { status, statusText, headers }),
    text: isWhole ? text : undefined,
    tokens: accessTokensIn(text),
  }
}

/** What was read already, and then what comes. */
function rest(
  first: Uint8Array,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  let isSent = false
  return new ReadableStream({
    async pull(controller) {
      if (!isSent) {
        isSent = true
        controller.enqueue(first)
        return
      }
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}
