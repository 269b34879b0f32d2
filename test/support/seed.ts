const environment: { readonly FUZZ_SEED?: string; readonly FUZZ_SECONDS?: string } = process.env

/** Seconds that a long random test may take. */
export const fuzzSeconds = Number(environment.FUZZ_SECONDS ?? 10)

/** Numbers in [0, 1) from a seed: mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What a random test draws. */
export interface Draws {
  /** A number in [0, 1). */
  random(): number
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number
  chance(percent: number): boolean
  pick<T>(values: readonly T[]): T
}

/** Draws that the seed decides; none needs its `this`. */
export function drawsOf(seed: number): Draws {
  const random = randomOf(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  return {
    random,
    below,
    chance: (percent) => random() * 100 < percent,
    pick: <T>(values: readonly T[]) => values[below(values.length)] as T,
  }
}

/** What random tests start from: 1, so that they do the same each time; the number of FUZZ_SEED; or a new one if it is "random". */
export function startSeed(): number {
  const given = environment.FUZZ_SEED ?? '1'
  return given === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(given)
}
