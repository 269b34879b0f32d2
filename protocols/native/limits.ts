/** The largest number a varint holds: 2^53 - 1. */
export const varintMax = Number.MAX_SAFE_INTEGER
export const varintBytesMax = 8
/** Maps and lists within each other. */
export const nestingMax = 8
/** Properties of one message, entries of one map, items of one list. */
export const itemsMax = 65_536
/** Frames before WELCOME. */
export const helloBytesMax = 64 * 1024
/** What either side may ask for as its largest frame. */
export const frameBytesMin = 4 * 1024
export const frameBytesMax = 16 * 1024 * 1024
/** Ranges of one SETTLE. */
export const settleRangesMax = 4096
/** Rejected sends listed in one ACCEPTED. */
export const rejectionsMax = 1024
/** The largest link and transaction number. */
export const linkMax = 2 ** 31 - 1
