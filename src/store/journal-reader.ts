import type { IndexEntry } from './index-page.ts'
import { type Part, partEntryBytes, putHeadBytes } from './journal-frame.ts'
import { readBytesMax, readGapBytes } from './journal-limits.ts'
import { type Location, offsetOf, segmentOf } from './location.ts'
import type { MessageDecoder } from './message-codec.ts'
import type { Segments } from './segments.ts'
import type { StoredEntry } from './store.ts'

/** One piece of the journal that several entries lie in. */
interface Run {
  readonly segment: number
  readonly offset: number
  end: number
  readonly entries: IndexEntry[]
  wantedBytes: number
}

/** Reads messages back from the journal: neighbours in one piece. */
export class JournalReader {
  readonly #segments: Segments
  readonly #decoder: MessageDecoder
  readonly #parts: ReadonlyMap<Location, readonly Part[]>

  constructor(segments: Segments, decoder: MessageDecoder, parts: ReadonlyMap<Location, readonly Part[]>) {
    this.#segments = segments
    this.#decoder = decoder
    this.#parts = parts
  }

  /** The stored entries of the index entries, in the order given. `horizon`: entries up to it may have been seen. */
  async read(entries: readonly IndexEntry[], horizon: number): Promise<readonly StoredEntry[]> {
    const found = new Map<number, StoredEntry>()
    await Promise.all(runsOf(entries).map((run) => this.#readRun(run, horizon, found)))
    return entries.map((entry) => found.get(entry.sequence)).filter((entry) => entry !== undefined)
  }

  async #readRun(run: Run, horizon: number, found: Map<number, StoredEntry>): Promise<void> {
    const segment = this.#segments.segment(run.segment)
    if (segment === undefined)
      throw new Error(`segment ${run.segment} is gone, and ${run.entries.length} entries with it`)
    const bytes = await segment.file.read(run.offset, run.end - run.offset)
    const isDense = run.wantedBytes * 2 >= bytes.length
    for (const entry of run.entries) {
      const at = offsetOf(entry.location) - run.offset
      const payload = bytes.subarray(at, at + entry.bytes)
      found.set(entry.sequence, await this.#decode(entry, isDense ? payload : Buffer.from(payload), horizon))
    }
  }

  async #decode(entry: IndexEntry, payload: Buffer, horizon: number): Promise<StoredEntry> {
    const parts = this.#parts.size > 0 ? this.#parts.get(entry.location) : undefined
    const { sequence, deliveryCount } = entry
    const end = parts === undefined ? payload.length : payload.length - 4 - parts.length * partEntryBytes
    const content = parts === undefined ? undefined : await this.#assemble(parts)
    return {
      sequence,
      message: this.#decoder.read(payload, putHeadBytes, end, content),
      deliveryCount,
      redelivered: entry.isSeen || sequence <= horizon,
      notBefore: entry.isSeen ? entry.notBefore : payload.readDoubleLE(0),
    }
  }

  async #assemble(parts: readonly Part[]): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (const { location, length } of parts) {
      const segment = this.#segments.segment(segmentOf(location))
      if (segment === undefined) throw new Error(`segment ${segmentOf(location)} is gone, and part of a body with it`)
      pieces.push(await segment.file.read(offsetOf(location), length))
    }
    return Buffer.concat(pieces)
  }
}

/** Groups entries that lie close together. */
function runsOf(entries: readonly IndexEntry[]): Run[] {
  const runs: Run[] = []
  let run: Run | undefined
  for (const entry of [...entries].sort((left, right) => left.location - right.location)) {
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
