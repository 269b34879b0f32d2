/** A segment file of the journal. */
export const segmentBytes = 32 * 1024 * 1024
/** Drained segments kept for reuse. */
export const spareSegmentsMax = 8
/** The longest frame, and so the most that one flush covers. */
export const frameBytesMax = 4 * 1024 * 1024
/** A body longer than this is stored in parts of this length, each in a frame of its own. */
export const partBytes = 2 * 1024 * 1024
/** Waiting changes are encoded while the frame before them is being flushed once they are this long. */
export const eagerBytes = 128 * 1024
/** A checkpoint is made after this much journal, or this long after a change. */
export const checkpointBytes = 96 * 1024 * 1024
export const checkpointMs = 30_000
/** The most that is read from the journal in one piece, and across which gap two entries are still read together. */
export const readBytesMax = 1024 * 1024
export const readGapBytes = 32 * 1024
