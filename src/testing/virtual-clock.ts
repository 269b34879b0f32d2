import type { Clock, Timer } from '../clock.ts'

interface Pending {
  readonly at: number
  readonly order: number
  readonly callback: () => void
}

/** A clock that stands still until a test turns it; timers fire in the order of their times. */
export class VirtualClock implements Clock {
  #now: number
  #order: number
  readonly #pending: Set<Pending>

  constructor(now = 1_700_000_000_000) {
    this.#now = now
    this.#order = 0
    this.#pending = new Set()
  }

  now(): number {
    return this.#now
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  after(ms: number, callback: () => void): Timer {
    this.#order += 1
    const pending: Pending = { at: this.#now + Math.max(0, ms), order: this.#order, callback }
    this.#pending.add(pending)
    return { cancel: () => this.#pending.delete(pending) }
  }

  /** When the next timer comes due; undefined: none is pending. */
  get nextAt(): number | undefined {
    return this.#next(Number.POSITIVE_INFINITY)?.at
  }

  /** Lets `ms` pass, firing what comes due, each at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#pending.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.callback()
    }
    this.#now = end
  }

  #next(end: number): Pending | undefined {
    let first: Pending | undefined
    for (const pending of this.#pending) {
      if (pending.at > end) continue
      if (first === undefined || pending.at < first.at || (pending.at === first.at && pending.order < first.order))
        first = pending
    }
    return first
  }
}
