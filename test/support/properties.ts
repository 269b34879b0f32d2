import fc from 'fast-check'
import { startSeed } from './seed.ts'

/*
 * For every property of fast-check: the seed, and with FUZZ_PATH just the run that failed. A failure prints both.
 * FUZZ_SEED=random looks for what no run before has found.
 */
const { FUZZ_PATH: path }: { readonly FUZZ_PATH?: string } = process.env

fc.configureGlobal({ seed: startSeed(), ...(path === undefined ? {} : { path }) })
