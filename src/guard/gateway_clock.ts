/**
 * How old a token is, where the service's own clock may be slow. Holds one number.
 *
 * The gateway's clock shows in the `Date` of its key set and in the `iat` of its tokens: it is at least that late. A
 * service whose clock is slow would otherwise consider every token younger than it is, and grace would not end in time.
 * A clock that is fast ends grace early, which is the safe side.
 */
export class GatewayClock {
  #aheadMs = 0

  /** Starts over with an answer of the gateway. @param date - its `Date` header @param now - epoch milliseconds */
  set(date: string | null, now: number): void {
    const ahead = Date.parse(date ?? '') - now
    this.#aheadMs = ahead > 0 ? ahead : 0
  }

  /** Records a token that verified. @param iat - epoch seconds @param now - epoch milliseconds */
  see(iat: number, now: number): void {
    this.#aheadMs = Math.max(this.#aheadMs, iat * 1000 - now)
  }

  /** The age of a token that was seen, never negative. @param iat - epoch seconds @param now - epoch milliseconds */
  ageSeconds(iat: number, now: number): number {
    return Math.max(0, (now + this.#aheadMs) / 1000 - iat)
  }
}
