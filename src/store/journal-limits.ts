/** How large the pieces of a journal are, in bytes. Tests use small ones. */
export interface JournalSizes {
  /** A segment file. */
  readonly segmentBytes: number
  /** The longest frame, and so the most that one flush covers. */
  readonly frameBytesMax: number
  /** A body longer than this is stored in parts of this length. */
  readonly partBytes: number
  /** Waiting changes are encoded while the frame before them is being flushed once they are this long. */
  readonly eagerBytes: number
  /** A batch may wait for its messages to be accepted while those that are not are at least this long. */
  readonly patientBytes: number
  /** A checkpoint is made after this much journal. */
  readonly checkpointBytes: number
  /** Memory for pages of the index that need not be in memory. */
  readonly pageCacheBytes: number
  /** Entries of a page of the index; not more than 4,096. */
  readonly pageEntries: number
}

export const defaultJournalSizes: JournalSizes = {
  segmentBytes: 32 * 1024 * 1024,
  frameBytesMax: 4 * 1024 * 1024,
  partBytes: 2 * 1024 * 1024,
  eagerBytes: 128 * 1024,
  patientBytes: 32 * 1024,
  checkpointBytes: 96 * 1024 * 1024,
  pageCacheBytes: 48 * 1024 * 1024,
  pageEntries: 4096,
}

/** How long a journal puts things off, in milliseconds. */
export interface JournalTimes {
  /** Frames are flushed so long after they were written, by a disk whose commits do not; 0: with each commit. */
  readonly syncMs: number
  /** The longest that a batch waits for consumers to accept its messages; 0: none waits. */
  readonly patienceMs: number
}

export const defaultJournalTimes: JournalTimes = { syncMs: 0, patienceMs: 30 }

/** For how long no batch waits after one has in vain. */
export const restMsMin = 50
export const restMsMax = 10_000
/** For how long one batch is looked at, to see whether it is accepted in time, and how long after that none is. */
export const sampleMsMax = 1_000
export const sampleRestMs = 20
/** With less than this free on the device nothing more is stored; it is looked at after every so much journal, and so often. */
export const freeBytesMin = 512 * 1024 * 1024
export const freeCheckBytes = 16 * 1024 * 1024
export const freeCheckMs = 1_000
/** A journal in which little happens has at most this many times what is alive in it, and this many segments more. */
export const sizeFactor = 4
export const quietSegmentsMax = 7
/** Of these so many may hold little, before what is alive in them is moved together. */
export const sparseSegmentsMax = 3
/** Drained segments kept for reuse while there is much to write. */
export const spareSegmentsMax = 8
/** A checkpoint is made this long after a change. */
export const checkpointMs = 30_000
/** More dead segments than this are not kept waiting as long. */
export const deadSegmentsMax = 2
export const drainedMs = 1_000
/** The most that is read from the journal in one piece, and across which gap two entries are still read together. */
export const readBytesMax = 1024 * 1024
export const readGapBytes = 32 * 1024
/** How often the epoch file is read again, and how long ago that may have been when a commit is confirmed. */
export const epochCheckMs = 1_000
export const epochStallMsMax = 2_000
