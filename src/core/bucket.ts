/**
 * Which part of a percentage rollout a subject falls into. Pure.
 *
 * MurmurHash3 (x86, 32 bits, seed 0) over flag key and subject, as flagd's `fractional` does, so that other
 * OpenFeature providers put the same subject into the same bucket.
 *
 * @see https://flagd.dev/reference/custom-operations/fractional-operation/
 */

const encoder = new TextEncoder()

/** MurmurHash3 x86_32, as an unsigned 32-bit integer. */
export function murmur3(bytes: Uint8Array, seed = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const blocks = bytes.length & ~3
  let hash = seed
  for (let i = 0; i < blocks; i += 4) {
    hash ^= scramble(view.getUint32(i, true))
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let i = bytes.length - 1; i >= blocks; i--) tail = (tail << 8) | (bytes[i] as number)
  hash ^= scramble(tail)
  hash ^= bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function scramble(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
}

/** The subject's place for a flag, in `[0, 100)`; it is in the rollout while its place is below the percentage. */
export const bucket = (flag: string, subject: string): number =>
  (murmur3(encoder.encode(flag + subject)) / 2 ** 32) * 100
