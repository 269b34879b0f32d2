/** Times are counted in this many parts of a microsecond. */
const unitsPerUs = 8
/** Below this many units each unit has a bucket; from there on each doubling has half as many. */
const exactUnits = 256
const half = exactUnits / 2
const exactBits = 8
const unitsMax = 2 ** 31 - 1

/** What one process tells another of its times. */
export interface Times {
  /** Pairs of bucket and count. */
  readonly buckets: readonly (readonly [number, number])[]
  readonly maxUs: number
}

/** Counts times from 0 to four minutes, each with an error below 1 %. */
export class Histogram {
  readonly #counts: Float64Array
  #count: number
  #maxUs: number

  constructor() {
    this.#counts = new Float64Array(bucketOf(unitsMax) + 1)
    this.#count = 0
    this.#maxUs = 0
  }

  get count(): number {
    return this.#count
  }

  get maxUs(): number {
    return this.#maxUs
  }

  /** Negative times, of clocks that disagree, count as 0. */
  record(us: number): void {
    const bucket = bucketOf(Math.min(Math.max(Math.floor(us * unitsPerUs), 0), unitsMax))
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#count += 1
    if (us > this.#maxUs) this.#maxUs = us
  }

  /** The time that the share `quantile` of all times does not exceed, in microseconds; 0 if there are none. */
  quantile(quantile: number): number {
    const wanted = Math.max(1, Math.ceil(quantile * this.#count))
    let seen = 0
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      seen += this.#counts[bucket] as number
      if (seen >= wanted) return Math.min(middleOf(bucket), this.#maxUs)
    }
    return 0
  }

  add(times: Times): void {
    for (const [bucket, count] of times.buckets) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count
      this.#count += count
    }
    this.#maxUs = Math.max(this.#maxUs, times.maxUs)
  }

  times(): Times {
    const buckets: [number, number][] = []
    for (const [bucket, count] of this.#counts.entries()) if (count > 0) buckets.push([bucket, count])
    return { buckets, maxUs: this.#maxUs }
  }
}

function bucketOf(units: number): number {
  if (units < exactUnits) return units
  const shift = 32 - Math.clz32(units) - exactBits
  return exactUnits + (shift - 1) * half + ((units >>> shift) - half)
}

function middleOf(bucket: number): number {
  if (bucket < exactUnits) return (bucket + 0.5) / unitsPerUs
  const shift = Math.floor((bucket - exactUnits) / half) + 1
  const low = (((bucket - exactUnits) % half) + half) * 2 ** shift
  return (low + 2 ** shift / 2) / unitsPerUs
}
