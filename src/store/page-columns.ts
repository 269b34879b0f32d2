import type { Location } from './location.ts'

/** Entries of one page. */
export const pageEntries = 4096
const startEntries = 16
/** In a length: the body is stored in parts. A payload is never longer than a frame, so that the bit is free. */
const partsBit = 2 ** 31

/** Added to the failed deliveries, so that 0 says that nobody has seen the entry. */
const seenOffset = 1

/**
 * What an index page says of each of its entries: the part of it that need not be in memory. Twelve bytes an entry; four more if
 * sequences have gaps, and twelve more once one has been delivered in vain.
 */
export class PageColumns {
  locations: Float64Array
  lengths: Uint32Array
  /** Sequences, less the first one; undefined while they have no gaps. */
  offsets: Uint32Array | undefined
  counts: Uint32Array | undefined
  times: Float64Array | undefined

  constructor(capacity = startEntries) {
    this.locations = new Float64Array(capacity)
    this.lengths = new Uint32Array(capacity)
    this.offsets = undefined
    this.counts = undefined
    this.times = undefined
  }

  get capacity(): number {
    return this.locations.length
  }

  /** Bytes of memory. */
  get bytes(): number {
    return this.capacity * (12 + (this.offsets === undefined ? 0 : 4) + (this.counts === undefined ? 0 : 12))
  }

  location(index: number): Location {
    return this.locations[index] as number
  }

  length(index: number): number {
    return (this.lengths[index] as number) % partsBit
  }

  hasParts(index: number): boolean {
    return (this.lengths[index] as number) >= partsBit
  }

  offset(index: number): number {
    return this.offsets === undefined ? index : (this.offsets[index] as number)
  }

  /** Index of the first of `length` entries whose offset is not below `offset`. */
  indexFrom(offset: number, length: number): number {
    const { offsets } = this
    if (offsets === undefined) return Math.max(0, Math.min(length, offset))
    let low = 0
    let high = length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((offsets[middle] as number) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  isSeen(index: number): boolean {
    return this.counts !== undefined && this.counts[index] !== 0
  }

  deliveryCount(index: number): number {
    return Math.max(0, (this.counts?.[index] ?? 0) - seenOffset)
  }

  notBefore(index: number): number {
    return this.times?.[index] ?? 0
  }

  set(index: number, location: Location, length: number, hasParts: boolean): void {
    this.locations[index] = location
    this.lengths[index] = hasParts ? length + partsBit : length
  }

  setOffset(index: number, offset: number): void {
    if (this.offsets === undefined) {
      if (offset === index) return
      this.offsets = new Uint32Array(this.capacity)
      for (let before = 0; before < index; before += 1) this.offsets[before] = before
    }
    this.offsets[index] = offset
  }

  setHistory(index: number, deliveryCount: number, notBefore: number): void {
    this.counts ??= new Uint32Array(this.capacity)
    this.times ??= new Float64Array(this.capacity)
    this.counts[index] = deliveryCount + seenOffset
    this.times[index] = notBefore
  }

  /** The same with more room, or for changes that whoever has the old ones is not to see. */
  copy(capacity: number): PageColumns {
    const copy = new PageColumns(capacity)
    copy.locations.set(this.locations)
    copy.lengths.set(this.lengths)
    if (this.offsets !== undefined) {
      copy.offsets = new Uint32Array(capacity)
      copy.offsets.set(this.offsets)
    }
    if (this.counts !== undefined && this.times !== undefined) {
      copy.counts = new Uint32Array(capacity)
      copy.counts.set(this.counts)
      copy.times = new Float64Array(capacity)
      copy.times.set(this.times)
    }
    return copy
  }

  /** The same with room for eight times as many entries. */
  grown(): PageColumns {
    return this.copy(Math.min(this.capacity * 8, pageEntries))
  }
}
