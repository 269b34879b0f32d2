import type { Parameters } from 'fast-check'

const environment: { readonly FUZZ_SEED?: string; readonly FUZZ_SECONDS?: string } = process.env

/** Seconds that a long random test may take. */
export const fuzzSeconds = Number(environment.FUZZ_SECONDS ?? 10)

/**
 * Settings for `fc.assert`: the seed of FUZZ_SEED if there is one. A failure prints its seed, and FUZZ_SEED brings it back.
 */
export function seeded<T>(given: Parameters<T> = {}): Parameters<T> {
  const seed = environment.FUZZ_SEED
  return seed === undefined ? given : { ...given, seed: Number(seed) }
}
