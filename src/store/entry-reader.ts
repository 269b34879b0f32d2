import type { Directory } from './directory.ts'
import type { IndexEntry } from './index-page.ts'
import { JournalBatch } from './journal-batch.ts'
import type { JournalIndex } from './journal-index.ts'
import { bySequence, type JournalReader, type Unreadable } from './journal-reader.ts'
import type { Damage } from './journal-scan.ts'
import type { Disk } from './log/disk.ts'
import type { OwnerIndex } from './owner-index.ts'
import type { CommitDone, OwnerId, StoredEntry } from './store.ts'

export interface EntryReaderEvents {
  commit(batch: JournalBatch, done: CommitDone): void
  damaged(damage: Damage): void
}

/** Told of an entry that cannot be read, and has left its owner for that reason. */
export type OnUnreadable = (sequence: number) => void

/**
 * Reads entries by owner and sequence. One that is not what was written leaves its owner, so that it stops nobody: its bytes are
 * kept in a file of their own, and it is reported.
 */
export class EntryReader {
  readonly #disk: Disk
  readonly #index: JournalIndex
  readonly #reader: JournalReader
  readonly #events: EntryReaderEvents

  constructor(disk: Disk, index: JournalIndex, reader: JournalReader, events: EntryReaderEvents) {
    this.#disk = disk
    this.#index = index
    this.#reader = reader
    this.#events = events
  }

  /** Up to `count` entries after a sequence, in order; fewer only at the end. */
  async read(id: OwnerId, priority: number, range: EntryRange, onUnreadable: OnUnreadable): Promise<StoredEntry[]> {
    const owner = this.#index.owners.get(id)
    const directory = owner?.directories[priority]
    const found: StoredEntry[] = []
    if (owner === undefined || directory === undefined) return found
    for (let last = range.after; found.length < range.count; ) {
      const places = await directory.collect(last, range.count - found.length)
      const { entries, unreadable } = await this.#reader.read(places, owner.seenUpTo)
      const saved: StoredEntry[] = []
      for (const one of unreadable) saved.push(...(await this.#readAgain(owner, directory, one, onUnreadable)))
      // What has been read a second time belongs between the others.
      found.push(...(saved.length === 0 ? entries : [...entries, ...saved].sort(bySequence)))
      const end = places.at(-1)
      if (end === undefined || unreadable.length === 0) break
      last = end.sequence
    }
    return found
  }

  /** The stored entry of one of the index; undefined if it cannot be read. */
  async readOne(entry: IndexEntry): Promise<StoredEntry | undefined> {
    const { entries } = await this.#reader.read([entry], 0)
    return entries[0]
  }

  /** An entry may have left, or been moved, since it was looked up; if neither, it is damaged. */
  async #readAgain(
    owner: OwnerIndex,
    directory: Directory,
    first: Unreadable,
    onUnreadable: OnUnreadable,
  ): Promise<readonly StoredEntry[]> {
    for (let known = first; ; ) {
      const { sequence, location } = known.entry
      const [place] = await directory.collect(sequence - 1, 1)
      if (place?.sequence !== sequence) return []
      if (place.location === location) {
        await this.#isolate(owner, directory, known)
        onUnreadable(sequence)
        return []
      }
      const { entries, unreadable } = await this.#reader.read([place], owner.seenUpTo)
      const [failed] = unreadable
      if (failed === undefined) return entries
      known = failed
    }
  }

  async #isolate(
    owner: OwnerIndex,
    { priority }: Directory,
    { entry, segment, offset, bytes }: Unreadable,
  ): Promise<void> {
    const name = `damaged-${segment}-${offset}`
    if (bytes !== undefined) await this.#disk.writeFile(name, bytes)
    const batch = new JournalBatch(() => 0)
    batch.ack(owner.id, priority, entry.sequence, false)
    await new Promise<void>((resolve, reject) => {
      this.#events.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
    const whose = `message ${entry.sequence} of the ${owner.spec.kind} ${owner.spec.name} (owner ${owner.id})`
    const where = bytes === undefined ? 'nothing is left of it' : `its bytes are kept as ${name}`
    this.#events.damaged({ segment, offset, bytes: entry.bytes, reason: `${whose} is damaged and taken out: ${where}` })
  }
}

export interface EntryRange {
  readonly after: number
  readonly count: number
}
