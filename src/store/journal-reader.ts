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

/** One piece of the journal that several entries lie in. */
interface Run {
  readonly segment: number
  readonly offset: number
  end: number
  readonly entries: IndexEntry[]
  wantedBytes: number
}

/** Part of a segment that has been read, and the block in it that was checked last. */
class Piece {
  readonly #segment: number
  readonly #offset: number
  readonly #bytes: Buffer
  #block: number
  #blockEnd: number

  constructor(segment: number, offset: number, bytes: Buffer) {
    this.#segment = segment
    this.#offset = offset
    this.#bytes = bytes
    this.#block = -1
    this.#blockEnd = -1
  }

  /** The payload of a record, a view; undefined if its block is not what was written. */
  payload(offset: number, length: number): Buffer | undefined {
    const at = offset - this.#offset
    const start = at - recordHeaderBytes
    const bytes = this.#bytes
    if (start < 0 || at + length > bytes.length || bytes.readUInt32LE(start + 16) !== length) return undefined
    const block = start - bytes.readUInt16LE(start + 14)
    if (block < 0) return undefined
    if (block !== this.#block) {
      this.#block = block
      this.#blockEnd = blockEnd(bytes, block, bytes.length, this.#segment)
    }
    return at + length <= this.#blockEnd ? bytes.subarray(at, at + length) : undefined
  }

  /** What is at a place, sound or not. */
  raw(offset: number, length: number): Buffer {
    const at = offset - this.#offset
    return this.#bytes.subarray(Math.max(0, at), at + length)
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

  /** The stored entries of the index entries. `horizon`: entries up to it may have been seen. */
  async read(entries: readonly IndexEntry[], horizon: number): Promise<ReadResult> {
    const found = new Map<number, StoredEntry>()
    const unreadable: Unreadable[] = []
    await Promise.all(runsOf(entries).map((run) => this.#readRun(run, horizon, found, unreadable)))
    return {
      entries: entries.map(({ sequence }) => found.get(sequence)).filter((one) => one !== undefined),
      unreadable,
    }
  }

  async #readRun(run: Run, horizon: number, found: Map<number, StoredEntry>, unreadable: Unreadable[]): Promise<void> {
    const { segment } = run
    const piece = await this.#pieceOf(segment, run.offset, run.end - run.offset)
    const isDense = run.wantedBytes * 2 >= run.end - run.offset
    for (const entry of run.entries) {
      const offset = offsetOf(entry.location)
      const payload = piece?.payload(offset, entry.bytes)
      const parts = payload === undefined ? undefined : this.#parts.get(entry.location)
      const content = parts === undefined ? undefined : await this.#assemble(parts)
      if (payload === undefined || content === 'unreadable') {
        unreadable.push({ entry, segment, offset, bytes: piece?.raw(offset, entry.bytes) })
      } else found.set(entry.sequence, this.#decode(entry, isDense ? payload : Buffer.from(payload), content, horizon))
    }
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

  #decode(entry: IndexEntry, payload: Buffer, content: Buffer | undefined, horizon: number): StoredEntry {
    const { sequence, deliveryCount, location } = entry
    const parts = content === undefined ? 0 : 4 + (this.#parts.get(location)?.length ?? 0) * partEntryBytes
    return {
      sequence,
      message: this.#decoder.read(payload, putHeadBytes, payload.length - parts, content),
      deliveryCount,
      redelivered: entry.isSeen || sequence <= horizon,
      notBefore: entry.isSeen ? entry.notBefore : payload.readDoubleLE(0),
    }
  }

  async #assemble(parts: readonly Part[]): Promise<Buffer | 'unreadable'> {
    const pieces: Buffer[] = []
    for (const part of parts) {
      const offset = offsetOf(part.location)
      const piece = await this.#pieceOf(segmentOf(part.location), offset, part.length)
      const bytes = piece?.payload(offset, part.length)
      if (bytes === undefined) return 'unreadable'
      pieces.push(bytes)
    }
    return Buffer.concat(pieces)
  }
}

/** Groups entries that lie close together. */
function runsOf(entries: readonly IndexEntry[]): Run[] {
  const runs: Run[] = []
  let run: Run | undefined
  for (const entry of inOrderOfPlaces(entries)) {
    const segment = segmentOf(entry.location)
    const offset = offsetOf(entry.location)
    const end = offset + entry.bytes
    if (run?.segment === segment && offset - run.end <= readGapBytes && end - run.offset <= readBytesMax) {
      run.end = Math.max(run.end, end)
      run.entries.push(entry)
      run.wantedBytes += entry.bytes
    } else {
      run = { segment, offset, end, entries: [entry], wantedBytes: entry.bytes }
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
