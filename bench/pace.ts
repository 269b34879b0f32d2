/** The least time between two points that are kept. */
const pointMs = 5

/** What the pace of a run was. */
export interface PaceFigures {
  readonly count: number
  /** Events a second between the first tenth of all events and the last. */
  readonly perSecond: number
  readonly elapsedMs: number
  /** The longest time without an event between the first and the last. */
  readonly longestGapMs: number
}

/** Notes when events happen, to say afterwards how fast they came. */
export class Pace {
  readonly #timesMs: number[]
  readonly #counts: number[]
  #count: number
  #firstMs: number
  #lastMs: number
  #longestGapMs: number

  constructor() {
    this.#timesMs = []
    this.#counts = []
    this.#count = 0
    this.#firstMs = 0
    this.#lastMs = 0
    this.#longestGapMs = 0
  }

  get count(): number {
    return this.#count
  }

  get lastMs(): number {
    return this.#lastMs
  }

  /** `count` events at one time; times do not go back. */
  note(nowMs: number, count: number): void {
    if (count === 0) return
    if (this.#count === 0) this.#firstMs = nowMs
    else this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastMs)
    this.#count += count
    this.#lastMs = nowMs
    const last = this.#timesMs.at(-1)
    if (last !== undefined && nowMs - last < pointMs) return
    this.#timesMs.push(nowMs)
    this.#counts.push(this.#count)
  }

  figures(): PaceFigures {
    const elapsedMs = this.#lastMs - this.#firstMs
    return {
      count: this.#count,
      perSecond: this.#steadyRate() ?? (elapsedMs > 0 ? (this.#count * 1000) / elapsedMs : 0),
      elapsedMs,
      longestGapMs: this.#longestGapMs,
    }
  }

  /** Undefined if the run was too short for it. */
  #steadyRate(): number | undefined {
    const tenth = this.#count / 10
    const from = this.#counts.findIndex((count) => count >= tenth)
    const to = this.#counts.findIndex((count) => count >= this.#count - tenth)
    if (from < 0 || to <= from) return undefined
    const count = (this.#counts[to] as number) - (this.#counts[from] as number)
    return (count * 1000) / ((this.#timesMs[to] as number) - (this.#timesMs[from] as number))
  }
}
