import type { OwnerId, OwnerSpec } from './store.ts'

/** Entries of one page. */
export const pageEntries = 4096
const startEntries = 16

/** A byte of the log: segment number and offset in one number. */
export type Location = number
const offsetBits = 2 ** 32

export function locationOf(segment: number, offset: number): Location {
  return segment * offsetBits + offset
}

export function segmentOf(location: Location): number {
  return Math.floor(location / offsetBits)
}

export function offsetOf(location: Location): number {
  return location % offsetBits
}

/** What is told of every entry that comes and goes, to know how much of each segment is alive. */
export interface SegmentUse {
  add(segment: number, entries: number, bytes: number): void
}

/** What an entry has been through; most have nothing. */
export interface EntryHistory {
  readonly deliveryCount: number
  readonly notBefore: number
}

export interface IndexEntry {
  readonly sequence: number
  readonly location: Location
  readonly bytes: number
  readonly isSeen: boolean
  readonly deliveryCount: number
  readonly notBefore: number
}

/** The columns of a page. */
export interface PageColumns {
  readonly sequences: Float64Array
  readonly locations: Float64Array
  readonly lengths: Uint32Array
}

/** What is left of one segment in a page. */
interface Share {
  readonly segment: number
  entries: number
  bytes: number
}

/** Up to {@link pageEntries} entries of one owner and priority, in the order of their sequences. */
export class IndexPage {
  #columns: PageColumns
  length: number
  liveCount: number
  firstSequence: number
  lastSequence: number
  /** One bit an entry: gone. Made on the first one. */
  dead: Uint8Array | undefined
  history: Map<number, EntryHistory> | undefined
  readonly shares: Share[]

  constructor() {
    this.#columns = columnsOf(startEntries)
    this.length = 0
    this.liveCount = 0
    this.firstSequence = 0
    this.lastSequence = 0
    this.dead = undefined
    this.history = undefined
    this.shares = []
  }

  get isSealed(): boolean {
    return this.length === pageEntries
  }

  append(sequence: number, location: Location, bytes: number): void {
    const columns = this.#room()
    const index = this.length
    columns.sequences[index] = sequence
    columns.locations[index] = location
    columns.lengths[index] = bytes
    if (index === 0) this.firstSequence = sequence
    this.lastSequence = sequence
    this.length = index + 1
    this.liveCount += 1
    const share = this.#share(segmentOf(location))
    share.entries += 1
    share.bytes += bytes
  }

  /** Where the sequence stands; -1 if it is not there or gone. */
  find(sequence: number): number {
    const { sequences } = this.#columns
    const guess = sequence - this.firstSequence
    if (guess >= 0 && guess < this.length && sequences[guess] === sequence) return this.isDead(guess) ? -1 : guess
    let low = 0
    let high = this.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const found = sequences[middle] as number
      if (found === sequence) return this.isDead(middle) ? -1 : middle
      if (found < sequence) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  /** Index of the first entry whose sequence is not before `sequence`. */
  indexFrom(sequence: number): number {
    const { sequences } = this.#columns
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sequences[middle] as number) < sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  isDead(index: number): boolean {
    return this.dead !== undefined && ((this.dead[index >> 3] as number) & (1 << (index & 7))) !== 0
  }

  kill(index: number, use: SegmentUse): void {
    this.dead ??= new Uint8Array(pageEntries >> 3)
    this.dead[index >> 3] = (this.dead[index >> 3] as number) | (1 << (index & 7))
    this.liveCount -= 1
    this.history?.delete(index)
    const { locations, lengths } = this.#columns
    this.#take(locations[index] as number, lengths[index] as number, use)
  }

  /** Everything in it goes at once. */
  killAll(use: SegmentUse): void {
    for (const { segment, entries, bytes } of this.shares.splice(0)) use.add(segment, -entries, -bytes)
    this.liveCount = 0
    this.history = undefined
    this.dead ??= new Uint8Array(pageEntries >> 3)
    for (let index = 0; index < this.length; index += 1) {
      this.dead[index >> 3] = (this.dead[index >> 3] as number) | (1 << (index & 7))
    }
  }

  /** The entry now lies elsewhere: compaction has moved it. */
  relocate(index: number, location: Location, bytes: number, use: SegmentUse): void {
    const { locations, lengths } = this.#columns
    this.#take(locations[index] as number, lengths[index] as number, use)
    locations[index] = location
    lengths[index] = bytes
    const share = this.#share(segmentOf(location))
    share.entries += 1
    share.bytes += bytes
    use.add(segmentOf(location), 1, bytes)
  }

  entry(index: number): IndexEntry {
    const { sequences, locations, lengths } = this.#columns
    const history = this.history?.get(index)
    return {
      sequence: sequences[index] as number,
      location: locations[index] as number,
      bytes: lengths[index] as number,
      isSeen: history !== undefined,
      deliveryCount: history?.deliveryCount ?? 0,
      notBefore: history?.notBefore ?? 0,
    }
  }

  get columns(): PageColumns {
    return this.#columns
  }

  #take(location: Location, bytes: number, use: SegmentUse): void {
    const segment = segmentOf(location)
    const share = this.#share(segment)
    share.entries -= 1
    share.bytes -= bytes
    if (share.entries === 0) this.shares.splice(this.shares.indexOf(share), 1)
    use.add(segment, -1, -bytes)
  }

  #share(segment: number): Share {
    const last = this.shares.at(-1)
    if (last?.segment === segment) return last
    const found = this.shares.find((share) => share.segment === segment)
    if (found !== undefined) return found
    const share = { segment, entries: 0, bytes: 0 }
    this.shares.push(share)
    return share
  }

  #room(): PageColumns {
    const columns = this.#columns
    if (this.length < columns.sequences.length) return columns
    const grown = columnsOf(Math.min(columns.sequences.length * 8, pageEntries))
    grown.sequences.set(columns.sequences)
    grown.locations.set(columns.locations)
    grown.lengths.set(columns.lengths)
    this.#columns = grown
    return grown
  }
}

/** The entries of one owner and priority: pages in the order of sequences. */
export class Directory {
  /** From `#head` on; those before are gone. */
  pages: IndexPage[]
  liveCount: number
  /** Where the last search ended, since acknowledgements mostly come in order. */
  #lastPage: IndexPage | undefined

  constructor() {
    this.pages = []
    this.liveCount = 0
    this.#lastPage = undefined
  }

  append(sequence: number, location: Location, bytes: number): void {
    let page = this.pages.at(-1)
    if (page === undefined || page.isSealed) {
      page = new IndexPage()
      this.pages.push(page)
    }
    page.append(sequence, location, bytes)
    this.liveCount += 1
  }

  /** Adds up to `count` entries after a sequence to `found`, in order. */
  collect(after: number, count: number, found: IndexEntry[]): void {
    for (let at = this.#pageAfter(after); at < this.pages.length && found.length < count; at += 1) {
      const page = this.pages[at] as IndexPage
      for (let index = 0; index < page.length && found.length < count; index += 1) {
        if (page.isDead(index)) continue
        const entry = page.entry(index)
        if (entry.sequence > after) found.push(entry)
      }
    }
  }

  /** The page that holds a sequence, if one may. */
  pageOf(sequence: number): IndexPage | undefined {
    const last = this.#lastPage
    if (last !== undefined && sequence >= last.firstSequence && sequence <= last.lastSequence) return last
    let low = 0
    let high = this.pages.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const page = this.pages[middle] as IndexPage
      if (sequence < page.firstSequence) high = middle - 1
      else if (sequence > page.lastSequence) low = middle + 1
      else {
        this.#lastPage = page
        return page
      }
    }
    return undefined
  }

  /** The entries from one sequence to another that are still there. */
  *entriesOf(from: number, to: number): Generator<IndexEntry> {
    for (let at = this.#pageAfter(from - 1); at < this.pages.length; at += 1) {
      const page = this.pages[at] as IndexPage
      if (page.firstSequence > to) return
      for (let index = 0; index < page.length; index += 1) {
        if (page.isDead(index)) continue
        const entry = page.entry(index)
        if (entry.sequence >= from && entry.sequence <= to) yield entry
      }
    }
  }

  /** The entries from one sequence to another go; whole pages without looking into them. */
  kill(from: number, to: number, use: SegmentUse): void {
    if (from === to) {
      const page = this.pageOf(from)
      const index = page?.find(from) ?? -1
      if (page !== undefined && index >= 0) this.#killAt(page, index, use)
      return
    }
    const first = this.#pageAfter(from - 1)
    for (const page of this.pages.slice(first)) {
      if (page.firstSequence > to) return
      if (page.firstSequence >= from && page.lastSequence <= to) {
        this.liveCount -= page.liveCount
        page.killAll(use)
        if (page.isSealed) this.#drop(page)
        continue
      }
      const { sequences } = page.columns
      for (let index = page.indexFrom(from); index < page.length && (sequences[index] as number) <= to; index += 1) {
        if (!page.isDead(index)) this.#killAt(page, index, use)
      }
    }
  }

  #killAt(page: IndexPage, index: number, use: SegmentUse): void {
    page.kill(index, use)
    this.liveCount -= 1
    if (page.liveCount === 0 && page.isSealed) this.#drop(page)
  }

  /** Index of the first page that may hold something after a sequence. */
  #pageAfter(sequence: number): number {
    let low = 0
    let high = this.pages.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.pages[middle] as IndexPage).lastSequence <= sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  #drop(page: IndexPage): void {
    if (this.#lastPage === page) this.#lastPage = undefined
    if (this.pages[0] === page) this.pages.shift()
    else this.pages.splice(this.pages.indexOf(page), 1)
  }
}

/** One owner with its entries by priority. */
export class OwnerIndex {
  readonly id: OwnerId
  /** Found out later if its definition is lost. */
  spec: OwnerSpec
  readonly directories: (Directory | undefined)[]
  lastSequence: number
  /** Entries up to this sequence may have been seen by consumers. */
  horizon: number
  /** Entries up to this sequence were within the horizon when the broker crashed. */
  seenUpTo: number

  constructor(id: OwnerId, spec: OwnerSpec) {
    this.id = id
    this.spec = spec
    this.directories = new Array<Directory | undefined>(10).fill(undefined)
    this.lastSequence = 0
    this.horizon = 0
    this.seenUpTo = 0
  }

  directory(priority: number): Directory {
    const found = this.directories[priority]
    if (found !== undefined) return found
    const directory = new Directory()
    this.directories[priority] = directory
    return directory
  }

  get count(): number {
    let count = 0
    for (const directory of this.directories) count += directory?.liveCount ?? 0
    return count
  }
}

export function columnsOf(entries: number): PageColumns {
  return {
    sequences: new Float64Array(entries),
    locations: new Float64Array(entries),
    lengths: new Uint32Array(entries),
  }
}
