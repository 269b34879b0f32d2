import type { Parameters } from 'fast-check'

const environment: { readonly FUZZ_SEED?: string; readonly FUZZ_PATH?: string; readonly FUZZ_SECONDS?: string } =
  process.env

/** Seconds that a long random test may take. */
export const fuzzSeconds = Number(environment.FUZZ_SECONDS ?? 10)

/**
 * Settings for `fc.assert`: the seed of FUZZ_SEED if there is one. A failure prints its seed and its path: FUZZ_SEED brings
 * back the runs, FUZZ_PATH with it just the one that failed.
 */
export function seeded<T>(given: Parameters<T> = {}): Parameters<T> {
  const { FUZZ_SEED: seed, FUZZ_PATH: path } = environment
  if (seed === undefined) return given
  return { ...given, seed: Number(seed), ...(path === undefined ? {} : { path }) }
}

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

/** The seed to start from: that of FUZZ_SEED, or a new one. */
export function startSeed(): number {
  return Number(environment.FUZZ_SEED ?? Math.floor(Math.random() * 1_000_000))
}
