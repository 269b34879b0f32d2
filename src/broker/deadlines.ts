import type { Clock, Timer } from '../clock.ts'
import { Heap } from './heap.ts'

/** Something that wants to be called at a time. */
export interface Due {
  due(now: number): void
}

/** One target's next call. Moving it later or clearing it costs a write; the heap finds out when its entry comes up. */
export class Deadline {
  readonly target: Due
  /** When the target is to be called, milliseconds since the epoch; 0: never. */
  at: number
  /** The time of its one valid heap entry; 0: none. Written by {@link Deadlines} only. */
  heldAt: number
  readonly #deadlines: Deadlines

  constructor(deadlines: Deadlines, target: Due) {
    this.target = target
    this.at = 0
    this.heldAt = 0
    this.#deadlines = deadlines
  }

  /** Calls the target at `at` or soon after, instead of any time set before. */
  set(at: number): void {
    this.at = at
    if (this.heldAt === 0 || at < this.heldAt) this.#deadlines.hold(this)
  }

  clear(): void {
    this.at = 0
  }
}

interface Entry {
  readonly at: number
  readonly deadline: Deadline
}

/** All deadlines of one broker, on one timer: heart-beats, delays, expiry, time-outs. */
export class Deadlines {
  readonly #clock: Clock
  readonly #heap: Heap<Entry>
  readonly #wake: () => void
  #timer: Timer | undefined
  #timerAt: number
  #isClosed: boolean

  constructor(clock: Clock) {
    this.#clock = clock
    this.#heap = new Heap<Entry>((entry) => entry.at)
    this.#wake = () => this.#run()
    this.#timer = undefined
    this.#timerAt = 0
    this.#isClosed = false
  }

  /** Enters the deadline into the heap at its time; called by {@link Deadline} only. */
  hold(deadline: Deadline): void {
    deadline.heldAt = deadline.at
    this.#heap.push({ at: deadline.at, deadline })
    this.#arm()
  }

  /** Stops the timer for good. */
  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#heap.takeAll()
  }

  #run(): void {
    this.#timer = undefined
    const now = this.#clock.now()
    for (let entry = this.#heap.peek(); entry !== undefined && entry.at <= now; entry = this.#heap.peek()) {
      this.#heap.pop()
      this.#come(entry, now)
    }
    this.#arm()
  }

  #come(entry: Entry, now: number): void {
    const { deadline } = entry
    if (deadline.heldAt !== entry.at) return
    deadline.heldAt = 0
    if (deadline.at === 0) return
    if (deadline.at > now) {
      this.hold(deadline)
      return
    }
    deadline.at = 0
    deadline.target.due(now)
  }

  #arm(): void {
    const next = this.#heap.peek()
    if (next === undefined || this.#isClosed) return
    if (this.#timer !== undefined) {
      if (this.#timerAt <= next.at) return
      this.#timer.cancel()
    }
    this.#timerAt = next.at
    this.#timer = this.#clock.after(Math.max(1, next.at - this.#clock.now()), this.#wake)
  }
}
