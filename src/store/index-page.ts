import { type Location, segmentOf } from './location.ts'
import { PageColumns, pageEntries } from './page-columns.ts'

/** What is told of every entry that comes and goes, to know how much of each segment is alive. */
export interface SegmentUse {
  add(segment: number, entries: number, bytes: number): void
  /** An owner is about to change. */
  changing(owner: number): void
  /** An entry has left whose body is in parts. */
  dropParts(location: Location): void
}

export interface IndexEntry {
  readonly sequence: number
  readonly location: Location
  readonly bytes: number
  readonly isSeen: boolean
  readonly deliveryCount: number
  readonly notBefore: number
}

/** What is left in one segment of the entries from `start` on, up to those of the next span. */
export interface Span {
  readonly segment: number
  /** Index of its first entry; {@link scattered} if they have been moved there from other segments. */
  readonly start: number
  entries: number
  bytes: number
}
export const scattered = 0xffff

/** Offsets of sequences within a page are u32. */
const offsetMax = 2 ** 32 - 1
/** The place of a page that is nowhere on disk. */
export const noSlot = -1

/** Whom a page belongs to. */
export interface PageHome {
  readonly owner: number
  readonly priority: number
  /** The columns of the page have been read: what was put off is to be done now. */
  settle(page: IndexPage): void
  /** The page now has these entries, all of them there. */
  recount(page: IndexPage, columns: PageColumns, length: number): void
}

/** A change of a page whose columns are on disk: made when they are read. */
export type DeferredChange =
  | { readonly kind: 'kill'; readonly from: number; readonly to: number }
  | {
      readonly kind: 'redeliver'
      readonly sequence: number
      readonly deliveryCount: number
      readonly notBefore: number
    }
  | {
      readonly kind: 'relocate'
      readonly sequence: number
      readonly location: Location
      readonly bytes: number
      readonly hasParts: boolean
    }

/**
 * Up to {@link pageEntries} entries of one owner and priority, in the order of their sequences. Where they are and how long may be
 * on disk only; which of them have left is always known here.
 */
export class IndexPage {
  readonly home: PageHome
  columns: PageColumns | undefined
  length: number
  liveCount: number
  firstSequence: number
  lastSequence: number
  /** Nothing is appended any more. */
  isSealed: boolean
  /** Some of its entries have been moved away from their neighbours. */
  isScattered: boolean
  /** Entries whose bodies are in parts: the columns of such a page stay in memory. */
  partCount: number
  /** One bit an entry: gone. Made on the first one. */
  dead: Uint8Array | undefined
  readonly spans: Span[]
  deferred: DeferredChange[]
  /** Where its columns are on disk, and which write of them that is. */
  slot: number
  stamp: number
  /** The columns on disk, if any, are not these. */
  isDirty: boolean
  /** Somebody has the columns and must not see them change. */
  isShared: boolean
  /** Used since the cache has last looked at it. */
  isRecent: boolean
  /** It is in no directory any more. */
  isGone: boolean
  /** Where it is in the cache; -1 if it is not. */
  cacheIndex: number
  /** Bytes that the cache counts for it. */
  cachedBytes: number

  constructor(home: PageHome) {
    this.home = home
    this.columns = undefined
    this.length = 0
    this.liveCount = 0
    this.firstSequence = 0
    this.lastSequence = 0
    this.isSealed = false
    this.isScattered = false
    this.partCount = 0
    this.dead = undefined
    this.spans = []
    this.deferred = []
    this.slot = noSlot
    this.stamp = 0
    this.isDirty = false
    this.isShared = false
    this.isRecent = false
    this.isGone = false
    this.cacheIndex = -1
    this.cachedBytes = 0
  }

  /** False if the page is full, or the sequence too far away from its first one. */
  takes(sequence: number, entriesMax: number): boolean {
    return !this.isSealed && this.length < entriesMax && sequence - this.firstSequence <= offsetMax
  }

  append(sequence: number, location: Location, bytes: number, hasParts: boolean): void {
    const index = this.length
    if (index === 0) {
      this.firstSequence = sequence
      this.columns = new PageColumns()
    } else if (index === this.columns?.capacity) this.columns = this.columns.grown()
    const offset = sequence - this.firstSequence
    // Whoever writes the columns just now has room for those that were there when it began.
    if (offset !== index && this.columns?.offsets === undefined) this.#writable()
    const columns = this.columns as PageColumns
    columns.set(index, location, bytes, hasParts)
    if (columns.offsets !== undefined || offset !== index) columns.setOffset(index, offset)
    if (hasParts) this.partCount += 1
    this.lastSequence = sequence
    this.length = index + 1
    this.liveCount += 1
    const segment = segmentOf(location)
    let span = this.isScattered ? this.#spanAt(index) : this.spans.at(-1)
    if (span?.segment !== segment) {
      span = { segment, start: index, entries: 0, bytes: 0 }
      this.spans.push(span)
    }
    span.entries += 1
    span.bytes += bytes
  }

  /** True if sequences have no gaps, so that an entry's index is known without the columns. */
  get isDense(): boolean {
    return this.lastSequence - this.firstSequence + 1 === this.length
  }

  /** True if entries can leave now; otherwise the columns must be read first. */
  get isReady(): boolean {
    return this.columns !== undefined || (this.isDense && !this.isScattered)
  }

  /** Where the sequence stands; -1 if it is not there or gone. Only while {@link isReady}. */
  find(sequence: number): number {
    const index = this.indexFrom(sequence)
    if (index >= this.length || this.sequence(index) !== sequence || this.isDead(index)) return -1
    return index
  }

  /** Index of the first entry whose sequence is not before `sequence`. Only while {@link isReady}. */
  indexFrom(sequence: number): number {
    const offset = sequence - this.firstSequence
    if (this.columns !== undefined) return this.columns.indexFrom(offset, this.length)
    return Math.max(0, Math.min(this.length, offset))
  }

  /** Only while {@link isReady}. */
  sequence(index: number): number {
    return this.firstSequence + (this.columns === undefined ? index : this.columns.offset(index))
  }

  isDead(index: number): boolean {
    return this.dead !== undefined && ((this.dead[index >> 3] as number) & (1 << (index & 7))) !== 0
  }

  /** An entry leaves. Only while {@link isReady}. */
  kill(index: number, use: SegmentUse): void {
    this.dead ??= new Uint8Array(pageEntries >> 3)
    this.dead[index >> 3] = (this.dead[index >> 3] as number) | (1 << (index & 7))
    this.liveCount -= 1
    const { columns } = this
    if (columns === undefined) {
      const span = this.#spanAt(index)
      // How long it was is not known here: as long as its neighbours.
      this.#take(span, span === undefined ? 0 : span.bytes / span.entries, use)
      return
    }
    if (this.partCount > 0 && columns.hasParts(index)) use.dropParts(columns.location(index))
    this.#takeAt(index, columns, use)
  }

  /** Everything in it goes at once. */
  killAll(use: SegmentUse): void {
    if (this.partCount > 0) this.#dropAllParts(use)
    for (const span of this.spans) {
      use.add(span.segment, -span.entries, -span.bytes)
      span.entries = 0
      span.bytes = 0
    }
    this.liveCount = 0
    this.deferred = []
    this.dead ??= new Uint8Array(pageEntries >> 3)
    const whole = this.length >> 3
    this.dead.fill(0xff, 0, whole)
    if ((this.length & 7) > 0) this.dead[whole] = (1 << (this.length & 7)) - 1
  }

  /** The entry now lies elsewhere: compaction has moved it. */
  relocate(index: number, location: Location, bytes: number, hasParts: boolean, use: SegmentUse): void {
    const columns = this.#writable()
    if (columns.hasParts(index)) use.dropParts(columns.location(index))
    if (hasParts) this.partCount += 1
    this.#takeAt(index, columns, use)
    columns.set(index, location, bytes, hasParts)
    this.isScattered = true
    this.#give(index, segmentOf(location), bytes, use)
  }

  /** The entry was delivered in vain, or may have been. */
  redeliver(index: number, deliveryCount: number, notBefore: number): void {
    this.#writable().setHistory(index, deliveryCount, notBefore)
  }

  entry(index: number): IndexEntry {
    const { columns } = this
    if (columns === undefined) throw new Error('the columns of the page are not in memory')
    return {
      sequence: this.firstSequence + columns.offset(index),
      location: columns.location(index),
      bytes: columns.length(index),
      isSeen: columns.isSeen(index),
      deliveryCount: columns.deliveryCount(index),
      notBefore: columns.notBefore(index),
    }
  }

  /** Those that are still there. */
  entries(): IndexEntry[] {
    const found: IndexEntry[] = []
    for (let index = 0; index < this.length; index += 1) if (!this.isDead(index)) found.push(this.entry(index))
    return found
  }

  /** True if something in it is alive in a segment that is as told. */
  liesIn(is: (segment: number) => boolean): boolean {
    return this.spans.some(({ segment, entries }) => entries > 0 && is(segment))
  }

  /** Has other entries from now on, all of them there. */
  renew(columns: PageColumns, length: number, use: SegmentUse): void {
    for (const { segment, entries, bytes } of this.spans.splice(0)) use.add(segment, -entries, -bytes)
    this.length = length
    this.liveCount = length
    this.dead = undefined
    this.isScattered = true
    for (let index = 0; index < length; index += 1) {
      this.#give(index, segmentOf(columns.location(index)), columns.length(index), use)
    }
  }

  /** Counts an entry in a segment other than its neighbours'. */
  #give(index: number, segment: number, bytes: number, use: SegmentUse): void {
    let span = this.#spanOf(index, segment)
    if (span?.segment !== segment) {
      span = { segment, start: scattered, entries: 0, bytes: 0 }
      this.spans.push(span)
    }
    span.entries += 1
    span.bytes += bytes
    use.add(segment, 1, bytes)
  }

  #writable(): PageColumns {
    let { columns } = this
    if (columns === undefined) throw new Error('the columns of the page are not in memory')
    if (this.isShared) {
      columns = columns.copy(columns.capacity)
      this.columns = columns
      this.isShared = false
    }
    return columns
  }

  #takeAt(index: number, columns: PageColumns, use: SegmentUse): void {
    const span = this.#spanOf(index, segmentOf(columns.location(index)))
    // What has not been found again in the journal is still counted where it was put.
    this.#take(span ?? this.#spanAt(index), columns.length(index), use)
  }

  #take(span: Span | undefined, bytes: number, use: SegmentUse): void {
    if (span === undefined) throw new Error('an entry of the index is counted nowhere')
    const taken = span.entries === 1 ? span.bytes : Math.min(span.bytes, bytes)
    span.entries -= 1
    span.bytes -= taken
    use.add(span.segment, -1, -taken)
  }

  /** The span in which an entry has been put. */
  #spanAt(index: number): Span | undefined {
    let found: Span | undefined
    for (const span of this.spans) if (span.start <= index) found = span
    return found
  }

  /** The span in which an entry is counted, if it lies in that segment. */
  #spanOf(index: number, segment: number): Span | undefined {
    const own = this.#spanAt(index)
    if (own?.segment === segment || !this.isScattered) return own
    return this.spans.find((span) => span.start === scattered && span.segment === segment)
  }

  #dropAllParts(use: SegmentUse): void {
    const { columns } = this
    for (let index = 0; index < this.length; index += 1) {
      if (columns?.hasParts(index) === true && !this.isDead(index)) use.dropParts(columns.location(index))
    }
  }
}

/** All of a page but its columns. */
export type PageState = Pick<
  IndexPage,
  | 'slot'
  | 'stamp'
  | 'firstSequence'
  | 'lastSequence'
  | 'length'
  | 'liveCount'
  | 'partCount'
  | 'isScattered'
  | 'spans'
  | 'dead'
  | 'deferred'
>
