/** What the suite tells a Worker under test, and what it hears back. Types only. */

export interface Plan {
  /** Which await, as `file:line`; nothing only records. */
  readonly point?: string
  /** `throws`: the await ends with an exception. `stops`: the process is killed before it goes on. */
  readonly mode?: 'throws' | 'stops'
  /** The await that brings the status line of upstream's answer. */
  readonly yes: string
}

export interface Course {
  /** The awaits that were passed since the last plan, after upstream's acceptance. */
  readonly reached: readonly string[]
  /** Whether the planned fault has happened. */
  readonly met: boolean
}
