import type { EntryReader } from './entry-reader.ts'
import { type EntryName, JournalBatch } from './journal-batch.ts'
import type { JournalIndex, PlacedEntry } from './journal-index.ts'
import { type JournalSizes, sizeFactor, sparseSegmentsMax } from './journal-limits.ts'
import type { Segment, Segments } from './segments.ts'
import type { CommitDone, StoredEntry } from './store.ts'

/** Only a segment with less than this share alive is worth moving. */
const liveShareMax = 0.25
/** Entries moved in one batch. */
const batchEntries = 256

/**
 * Moves what is alive in mostly dead segments to the end of the journal, so that one forgotten message does not keep 32 MiB.
 * The segments it empties are given up by the next checkpoints.
 */
export class Compaction {
  readonly #index: JournalIndex
  readonly #segments: Segments
  readonly #entries: EntryReader
  readonly #sizes: JournalSizes
  readonly #commit: (batch: JournalBatch, done: CommitDone) => void
  /** For each segment that is being emptied, the entries of which a newer message has been written since that began. */
  readonly #amended: Set<Set<string>>
  #underWay: Promise<void> | undefined
  #isStopped: boolean

  constructor(
    index: JournalIndex,
    segments: Segments,
    entries: EntryReader,
    sizes: JournalSizes,
    commit: (batch: JournalBatch, done: CommitDone) => void,
  ) {
    this.#index = index
    this.#segments = segments
    this.#entries = entries
    this.#sizes = sizes
    this.#commit = commit
    this.#amended = new Set()
    this.#underWay = undefined
    this.#isStopped = false
  }

  /** A newer message of these is about to be written: what has been read of them is not to be moved behind it. */
  noteAmended(entries: readonly EntryName[]): void {
    for (const names of this.#amended) for (const entry of entries) names.add(nameOf(entry))
  }

  /** Starts if it is needed; to be called after a checkpoint. */
  consider(): void {
    if (this.#underWay !== undefined || this.#isStopped || !this.#isNeeded()) return
    // What cannot be read stays where it is: its reader is told, and what else there is can be moved another time.
    this.#underWay = this.run()
      .catch(() => undefined)
      .finally(() => {
        this.#underWay = undefined
      })
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#underWay
  }

  /**
   * Moves everything out of the segments that are worth it, the emptiest first, until the journal is small enough; if a share is
   * given, out of all of which less is alive.
   */
  async run(liveShareWanted?: number): Promise<void> {
    const shareMax = liveShareWanted ?? liveShareMax
    const candidates = [...this.#segments.all].filter((segment) => this.#isWorthIt(segment, shareMax))
    candidates.sort((left, right) => left.liveBytes - right.liveBytes)
    for (const segment of candidates) {
      if (this.#isStopped || (liveShareWanted === undefined && !this.#isNeeded())) return
      await this.#empty(segment)
    }
  }

  #isNeeded(): boolean {
    let liveBytes = 0
    let usedBytes = 0
    for (const segment of this.#segments.all) {
      liveBytes += segment.liveBytes
      if (segment.liveEntries > 0) usedBytes += this.#sizes.segmentBytes
    }
    return usedBytes > sizeFactor * liveBytes + sparseSegmentsMax * this.#sizes.segmentBytes
  }

  #isWorthIt(segment: Segment, shareMax: number): boolean {
    const { current } = this.#segments
    if (current === undefined || segment.id >= current.id || segment.liveEntries === 0) return false
    return segment.liveBytes < this.#sizes.segmentBytes * shareMax
  }

  async #empty(segment: Segment): Promise<void> {
    const amended = new Set<string>()
    this.#amended.add(amended)
    try {
      // What was written before is in the index then.
      await this.#write(new JournalBatch(() => 0))
      await this.#moveAll(segment, amended)
    } finally {
      this.#amended.delete(amended)
    }
  }

  async #moveAll(segment: Segment, amended: ReadonlySet<string>): Promise<void> {
    let some: PlacedEntry[] = []
    for await (const placed of this.#index.entriesIn(segment.id)) {
      some.push(placed)
      if (some.length < batchEntries) continue
      await this.#move(some, amended)
      some = []
      if (this.#isStopped) return
    }
    if (some.length > 0) await this.#move(some, amended)
  }

  async #move(entries: readonly PlacedEntry[], amended: ReadonlySet<string>): Promise<void> {
    const found: (readonly [PlacedEntry, StoredEntry])[] = []
    for (const placed of entries) {
      const stored = await this.#entries.readOne(placed.entry)
      // What is damaged stays where it is, for whoever is to be told.
      if (stored !== undefined) found.push([placed, stored])
    }
    const batch = new JournalBatch(() => 0)
    for (const [{ owner, priority }, { sequence, message, notBefore }] of found) {
      if (!amended.has(nameOf({ owner, sequence }))) batch.rewrite(owner, priority, sequence, message, notBefore)
    }
    if (!batch.isEmpty) await this.#write(batch)
  }

  #write(batch: JournalBatch): Promise<void> {
    return new Promise((resolve) => {
      this.#commit(batch, () => resolve())
    })
  }
}

function nameOf({ owner, sequence }: EntryName): string {
  return `${owner}/${sequence}`
}
