/** The middle of several measurements, and how far they lie apart. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Of an even number of values the median is the mean of the middle two; of none it is NaN. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/** The ratio of two medians; the range is that of the ratios of the rounds, of which each has one value of both. */
export function ratio(values: readonly number[], bases: readonly number[]): Spread {
  const ratios = values.map((value, round) => value / (bases[round] ?? Number.NaN))
  return { median: median(values) / median(bases), min: Math.min(...ratios), max: Math.max(...ratios) }
}
