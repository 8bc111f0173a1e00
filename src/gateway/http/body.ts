/**
 * Bodies of requests and responses, read within limits: as bytes, as text, as a form, as JSON.
 *
 * A limit holds whatever length a message declares: reading stops as soon as it is exceeded.
 */
import { err, ok, type Result } from '../../core/result.ts'
import { parseUniqueJson } from '../../core/unique_json.ts'

/** A token request or a verification request is a few KiB. */
export const MAX_BODY_BYTES = 64 * 1024

/** A request that is not UTF-8 is refused: it would reach upstream changed. A response is accepted as it is. */
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })
const LENIENT = new TextDecoder()

/**
 * Reads a body as UTF-8 text, giving up as soon as it is longer than the limit. A read that fails midway throws, as
 * `text()` would.
 */
export async function readBounded(
  message: Request | Response,
  maxBytes: number,
): Promise<Result<string, 'body_too_large'>> {
  const isRequest = message instanceof Request
  if (!isRequest && (declaredBytes(message) ?? Number.POSITIVE_INFINITY) <= maxBytes)
    return ok(await message.text())
  const bytes = await readBytes(message, maxBytes)
  return bytes.ok ? ok((isRequest ? STRICT : LENIENT).decode(bytes.value)) : bytes
}

/** Reads a body as it is, giving up as soon as it is longer than the limit. */
export async function readBytes(
  message: Request | Response,
  maxBytes: number,
): Promise<Result<Uint8Array<ArrayBuffer>, 'body_too_large'>> {
  const declared = declaredBytes(message)
  if (declared !== undefined) {
    return declared > maxBytes ? err('body_too_large') : ok(new Uint8Array(await message.arrayBuffer()))
  }
  if (!message.body) return ok(new Uint8Array())
  const reader = message.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return ok(concat(chunks))
    size += value.byteLength
    if (size > maxBytes) {
      await reader.cancel()
      return err('body_too_large')
    }
    chunks.push(value)
  }
}

/** The length, if it is known before the body is read; the body is then read at once. */
function declaredBytes({ headers }: Request | Response): number | undefined {
  const declared = headers.get('content-length')
  return declared === null || headers.has('content-encoding') ? undefined : Number(declared)
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}

export type BodyReason = 'body_too_large' | 'content_type_unsupported' | 'body_malformed'

/** Reads a JSON body, in which no member may occur twice. @param empty - whether no body at all is read as `{}` */
export async function readJson(
  request: Request,
  empty: 'may_be_empty' | 'required',
): Promise<Result<unknown, BodyReason>> {
  const body = await readText(request)
  if (!body.ok) return body
  if (body.value === '' && empty === 'may_be_empty') return ok({})
  if (!isOfType(request, 'application/json')) return err('content_type_unsupported')
  try {
    return ok(parseUniqueJson(body.value))
  } catch {
    return err('body_malformed')
  }
}

export type FormReason = BodyReason | 'parameter_repeated' | 'parameter_missing'

/** Reads a form in which no parameter occurs twice (RFC 6749 section 3.1) and the named one is there. */
export async function readForm(
  request: Request,
  required: string,
): Promise<Result<URLSearchParams, FormReason>> {
  if (!isOfType(request, 'application/x-www-form-urlencoded')) return err('content_type_unsupported')
  const body = await readText(request)
  if (!body.ok) return body
  const form = new URLSearchParams(body.value)
  if (new Set(form.keys()).size !== form.size) return err('parameter_repeated')
  return form.get(required) ? ok(form) : err('parameter_missing')
}

export interface Parameters {
  readonly parameters: URLSearchParams
  /** The body as it came. */
  readonly body: string
}

/** The same for a form or, as some SDKs send it, JSON. */
export async function readParameters(
  request: Request,
  required: string,
): Promise<Result<Parameters, FormReason>> {
  if (!isOfType(request, 'application/json')) {
    const form = await readForm(request, required)
    return form.ok ? ok({ parameters: form.value, body: form.value.toString() }) : form
  }
  const body = await readText(request)
  if (!body.ok) return body
  try {
    const members = Object.entries(parseUniqueJson(body.value) ?? {})
    const texts = members.filter((member): member is [string, string] => typeof member[1] === 'string')
    const parameters = new URLSearchParams(texts)
    return parameters.get(required) ? ok({ parameters, body: body.value }) : err('parameter_missing')
  } catch {
    return err('body_malformed')
  }
}

/** The whole body of a request; `body_unreadable` if it is not UTF-8, or breaks off. */
export async function readRequest(
  request: Request,
): Promise<Result<string, 'body_too_large' | 'body_unreadable'>> {
  try {
    return await readBounded(request, MAX_BODY_BYTES)
  } catch {
    return err('body_unreadable')
  }
}

async function readText(request: Request): Promise<Result<string, 'body_too_large' | 'body_malformed'>> {
  const body = await readRequest(request)
  return body.ok || body.reason === 'body_too_large'
    ? (body as Result<string, 'body_too_large'>)
    : err('body_malformed')
}

const isOfType = (request: Request, mediaType: string): boolean =>
  request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() === mediaType
