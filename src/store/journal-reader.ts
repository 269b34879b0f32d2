import { blockBytes, blockEnd, blockHeaderBytes, recordHeaderBytes } from './frame.ts'
import type { IndexEntry } from './index-page.ts'
import { type Part, partEntryBytes, putHeadBytes } from './journal-frame.ts'
import { readBytesMax, readGapBytes } from './journal-limits.ts'
import { type Location, offsetOf, segmentOf } from './location.ts'
import type { MessageDecoder } from './message-codec.ts'
import type { Segments } from './segments.ts'
import type { StoredEntry } from './store.ts'

/** Read before and behind what is wanted, so that the blocks it lies in are there as a whole. */
const marginBytes = blockBytes + blockHeaderBytes + recordHeaderBytes

/** An entry that is not what was written, or whose segment is gone. */
export interface Unreadable {
  readonly entry: IndexEntry
  readonly segment: number
  readonly offset: number
  /** What is there instead; undefined if nothing is. */
  readonly bytes: Buffer | undefined
}

export interface ReadResult {
  /** In the order asked for. */
  readonly entries: readonly StoredEntry[]
  readonly unreadable: readonly Unreadable[]
}

/** What is asked for, in the order of places, and what cannot be read of it. */
interface Reading {
  readonly entries: readonly IndexEntry[]
  /** Entries up to this sequence may have been seen. */
  readonly horizon: number
  readonly unreadable: Unreadable[]
}

/** One piece of the journal that the entries from `first` to `last`, without that one, lie in. */
interface Run {
  readonly segment: number
  readonly offset: number
  end: number
  readonly first: number
  last: number
  wantedBytes: number
}

/** Part of a segment that has been read, and the block in it that was checked last. */
class Piece {
  readonly bytes: Buffer
  readonly view: DataView
  readonly #segment: number
  readonly #offset: number
  #block: number
  #blockEnd: number

  constructor(segment: number, offset: number, bytes: Buffer) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#segment = segment
    this.#offset = offset
    this.#block = -1
    this.#blockEnd = -1
  }

  /** Where the payload of a record is in the bytes; -1 if its block is not what was written. */
  payload(offset: number, length: number): number {
    const at = offset - this.#offset
    const start = at - recordHeaderBytes
    const { bytes, view } = this
    if (start < 0 || at + length > bytes.length || view.getUint32(start + 16, true) !== length) return -1
    const block = start - view.getUint16(start + 14, true)
    if (block < 0) return -1
    if (block !== this.#block) {
      this.#block = block
      this.#blockEnd = blockEnd(bytes, block, bytes.length, this.#segment)
    }
    return at + length <= this.#blockEnd ? at : -1
  }

  /** A payload alone, so that it does not keep the rest in memory. */
  copied(offset: number, length: number): Piece {
    return new Piece(this.#segment, offset, Buffer.from(this.raw(offset, length)))
  }

  /** What is at a place, sound or not. */
  raw(offset: number, length: number): Buffer {
    const at = offset - this.#offset
    return this.bytes.subarray(Math.max(0, at), at + length)
  }
}

/** Reads messages back from the journal: neighbours in one piece, each block checked. */
export class JournalReader {
  readonly #segments: Segments
  readonly #decoder: MessageDecoder
  readonly #parts: ReadonlyMap<Location, readonly Part[]>

  constructor(segments: Segments, decoder: MessageDecoder, parts: ReadonlyMap<Location, readonly Part[]>) {
    this.#segments = segments
    this.#decoder = decoder
    this.#parts = parts
  }

  /** The stored entries of the index entries, which are in the order of sequences. `horizon`: entries up to it may have been seen. */
  async read(entries: readonly IndexEntry[], horizon: number): Promise<ReadResult> {
    const reading: Reading = { entries: inOrderOfPlaces(entries), horizon, unreadable: [] }
    const found = (await Promise.all(runsOf(reading.entries).map((run) => this.#readRun(reading, run)))).flat()
    return { entries: reading.entries === entries ? found : found.sort(bySequence), unreadable: reading.unreadable }
  }

  async #readRun(reading: Reading, run: Run): Promise<StoredEntry[]> {
    const { segment } = run
    const piece = await this.#pieceOf(segment, run.offset, run.end - run.offset)
    const isDense = run.wantedBytes * 2 >= run.end - run.offset
    const found: StoredEntry[] = []
    for (let index = run.first; index < run.last; index += 1) {
      const entry = reading.entries[index] as IndexEntry
      const offset = offsetOf(entry.location)
      const at = piece === undefined ? -1 : piece.payload(offset, entry.bytes)
      const parts = at < 0 || this.#parts.size === 0 ? undefined : this.#parts.get(entry.location)
      const content = parts === undefined ? undefined : await this.#assemble(parts)
      if (piece === undefined || at < 0 || content === 'unreadable') {
        reading.unreadable.push({ entry, segment, offset, bytes: piece?.raw(offset, entry.bytes) })
      } else if (isDense) found.push(this.#decode(reading, entry, piece, at, content))
      else found.push(this.#decode(reading, entry, piece.copied(offset, entry.bytes), 0, content))
    }
    return found
  }

  async #pieceOf(id: number, offset: number, bytes: number): Promise<Piece | undefined> {
    const segment = this.#segments.segment(id)
    if (segment === undefined) return undefined
    const start = Math.max(0, offset - marginBytes)
    try {
      return new Piece(id, start, await segment.file.read(start, offset + bytes + 2 * marginBytes - start))
    } catch (error) {
      // It was given up meanwhile: what was in it has left.
      if (this.#segments.segment(id) === undefined) return undefined
      throw error
    }
  }

  #decode(
    { horizon }: Reading,
    entry: IndexEntry,
    { bytes, view }: Piece,
    at: number,
    content: Buffer | undefined,
  ): StoredEntry {
    const { sequence, deliveryCount, location } = entry
    const parts = content === undefined ? 0 : 4 + (this.#parts.get(location)?.length ?? 0) * partEntryBytes
    return {
      sequence,
      message: this.#decoder.read(bytes, view, at + putHeadBytes, at + entry.bytes - parts, content),
      deliveryCount,
      redelivered: entry.isSeen || sequence <= horizon,
      notBefore: entry.isSeen ? entry.notBefore : view.getFloat64(at, true),
    }
  }

  async #assemble(parts: readonly Part[]): Promise<Buffer | 'unreadable'> {
    const pieces: Buffer[] = []
    for (const part of parts) {
      const offset = offsetOf(part.location)
      const piece = await this.#pieceOf(segmentOf(part.location), offset, part.length)
      const at = piece?.payload(offset, part.length) ?? -1
      if (piece === undefined || at < 0) return 'unreadable'
      pieces.push(piece.bytes.subarray(at, at + part.length))
    }
    return Buffer.concat(pieces)
  }
}

/** Groups entries that lie close together. */
function runsOf(entries: readonly IndexEntry[]): Run[] {
  const runs: Run[] = []
  let run: Run | undefined
  for (let index = 0; index < entries.length; index += 1) {
    const { location, bytes } = entries[index] as IndexEntry
    const segment = segmentOf(location)
    const offset = offsetOf(location)
    const end = offset + bytes
    if (run?.segment === segment && offset - run.end <= readGapBytes && end - run.offset <= readBytesMax) {
      run.end = Math.max(run.end, end)
      run.last = index + 1
      run.wantedBytes += bytes
    } else {
      run = { segment, offset, end, first: index, last: index + 1, wantedBytes: bytes }
      runs.push(run)
    }
  }
  return runs
}

function inOrderOfPlaces(entries: readonly IndexEntry[]): readonly IndexEntry[] {
  let last = 0
  for (const { location } of entries) {
    if (location < last) return [...entries].sort((left, right) => left.location - right.location)
    last = location
  }
  return entries
}

/** For sorting. */
export function bySequence(left: StoredEntry, right: StoredEntry): number {
  return left.sequence - right.sequence
}
