/**
 * Reads an answer of upstream's far enough to see whether it holds an access token, and returns it whole.
 *
 * Bounded in size and time: a token answer is about 10 KiB and comes in one go. Of a larger or slower body the beginning is
 * checked, and the rest is streamed; where an access token shows up in it, the stream breaks off before that.
 */
import { concat } from './body.ts'
import { accessTokensIn } from './token_search.ts'

export const MAX_INSPECTED_BYTES = 256 * 1024
/** How long a client waits for the first byte of what is streamed. */
const WAIT_MS = 2_000

/** Content in which no client looks for a token. */
const NOT_TEXT = /^(image|audio|video|font)\/|event-stream|zip|pdf|protobuf|grpc|javascript|css/i
const NAME = /access[_-]?token|\\u/i
/** A name may be split between two chunks. */
const NAME_BYTES = 16

/** Whether the runtime decodes the body by itself. */
export const isUnpacked = (headers: Headers): boolean =>
  /^((x-)?gzip|br|identity|)$/i.test(headers.get('content-encoding')?.trim() ?? '')

export interface Inspected {
  /** The answer, to be passed on. */
  readonly response: Response
  /** The whole text, if it was short and came in time. */
  readonly text: string | undefined
  /** Whether it holds an access token of this kind. */
  readonly holdsToken: boolean
}

type Read = ReadableStreamReadResult<Uint8Array>
type IsSought = (jwt: string) => boolean | Promise<boolean>

/** @param isSought - the JWTs to look for, among those that call themselves access tokens. @throws if the body breaks off */
export async function inspect(response: Response, isSought: IsSought): Promise<Inspected> {
  const isText = !NOT_TEXT.test(response.headers.get('content-type') ?? '')
  if (!response.body || !isText || !isUnpacked(response.headers))
    return { response, text: undefined, holdsToken: false }
  const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  const { chunks, next } = await readSome(reader)
  const bytes = concat(chunks)
  const text = decoder.decode(bytes)
  const headers = new Headers(response.headers)
  // The body is decoded by now, and the runtime adds its length.
  for (const name of ['content-length', 'content-encoding']) headers.delete(name)
  const { status, statusText } = response
  const body = next ? guarded(bytes, next, reader, isSought) : bytes.byteLength > 0 ? bytes : null
  return {
    response: new Response(body, { status, statusText, headers }),
    text: next ? undefined : text,
    holdsToken: await holds(text, isSought),
  }
}

const decoder = new TextDecoder()

async function holds(text: string, isSought: IsSought): Promise<boolean> {
  for (const jwt of accessTokensIn(text)) if (await isSought(jwt)) return true
  return false
}

/** @returns what came within the bounds, and the read that is under way if there is more */
async function readSome(reader: ReadableStreamDefaultReader<Uint8Array>) {
  const chunks: Uint8Array[] = []
  let size = 0
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), WAIT_MS)
  try {
    for (;;) {
      const next = reader.read()
      const read = size > MAX_INSPECTED_BYTES ? undefined : await Promise.race([next, late])
      if (read === undefined) return { chunks, next }
      if (read.done) return { chunks, next: undefined }
      chunks.push(read.value)
      size += read.value.byteLength
    }
  } finally {
    clearTimeout(timer)
  }
}

/** The rest of a body. From a name on, what follows is held back until it is certain that no token is in it. */
function guarded(
  first: Uint8Array,
  under: Promise<Read>,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  isSought: IsSought,
): ReadableStream<Uint8Array> {
  let next: Promise<Read> | undefined = under
  let held = first
  let inspected = first.byteLength
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        const isOpen = inspected <= MAX_INSPECTED_BYTES
        const text = decoder.decode(held)
        // A body that is too large for a token answer was checked at its beginning.
        const isHeld = isOpen && NAME.test(text)
        const free = isHeld ? 0 : isOpen ? Math.max(0, held.byteLength - NAME_BYTES) : held.byteLength
        if (free > 0) {
          controller.enqueue(held.slice(0, free))
          held = held.slice(free)
          return
        }
        const read = await (next ?? reader.read())
        next = undefined
        if (read.done) {
          if (await holds(text, isSought)) {
            controller.error(new Error('access_token_misplaced'))
            return
          }
          if (held.byteLength > 0) controller.enqueue(held)
          controller.close()
          return
        }
        held = concat([held, read.value])
        inspected += read.value.byteLength
        const isExceeded = inspected > MAX_INSPECTED_BYTES
        if (isExceeded && (await holds(decoder.decode(held), isSought))) {
          controller.error(new Error('access_token_misplaced'))
          return
        }
      }
    },
    cancel: (reason) => reader.cancel(reason),
  })
}
