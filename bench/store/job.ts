import type { Trouble } from '../measure.ts'

/** What keeps the messages of a closed loop. */
export type EngineName =
  /** The broker's own store. */
  | 'journal'
  /** The same with its frames written by libuv's pool. */
  | 'journal-pool'
  /** The best of the ready-made engines. */
  | 'lmdb'
  /** Keeps nothing: what is left is the loop itself. */
  | 'nothing'

/** Messages in at one end and out at the other, each confirmed before it counts. */
export interface LoopJob {
  readonly kind: 'loop'
  readonly engine: EngineName
  readonly bodyBytes: number
  /** Messages unconfirmed at a time, and in how many batches. */
  readonly window: number
  readonly lanes: number
  /** Messages behind those that flow. */
  readonly backlog: number
  /** Whether libuv's pool is kept busy with other work. */
  readonly isPoolBusy: boolean
}

/** What the disk and the processor do without any store. */
export type RawJob =
  /** 1 MiB and a flush, at the end of a growing file. */
  | { readonly kind: 'append' }
  /** 4 KiB and a flush, over what is there. */
  | { readonly kind: 'overwrite' }
  /** The same with `O_DSYNC` instead of the flush. */
  | { readonly kind: 'overwrite-dsync' }
  /** A message's bytes from one place in memory to another, and their share of a CRC. */
  | { readonly kind: 'copy'; readonly bodyBytes: number }

/** One measurement, made in a process of its own. */
export type StoreJob = LoopJob | RawJob

/** What was measured, by name; the unit is in the name. */
export type Figures = Readonly<Record<string, number>>

export interface StoreResult {
  readonly figures: Figures
  readonly trouble: Trouble
}

/** What the process is told. */
export interface StoreOrder {
  readonly job: StoreJob
  readonly seconds: number
  /** An empty folder on the disk that is measured. */
  readonly folder: string
}

/** The segments that a drained store keeps for reuse, and 64 MiB. */
export const drainedMibMax = 8 * 32 + 64
/** Beside four times what is alive, of a store that has been compacted. */
export const compactedMibMax = 256

export const noTrouble: Trouble = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  foreign: 0,
  altered: 0,
  unconfirmed: 0,
  errors: [],
}
