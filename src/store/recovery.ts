import { RecordType, type RecordView, stateIsRemoved } from './frame.ts'
import { type Part, partEntryBytes, putHasParts } from './journal-frame.ts'
import type { JournalIndex } from './journal-index.ts'
import type { JournalSizes } from './journal-limits.ts'
import { type Damage, type FoundFrame, JournalScan, readFrame } from './journal-scan.ts'
import { type Location, locationOf } from './location.ts'
import type { Segments } from './segments.ts'
import type { OwnerId, OwnerSpec } from './store.ts'

/** The reason of a damage that is none: a crash has come before a batch was confirmed, which is there as a whole or not at all. */
export const unfinishedBatch = 'the end of its batch was never written'

/** Where reading begins. */
export interface StartingPoint {
  readonly segment: number
  readonly offset: number
  readonly frame: number
}

export interface Replay {
  /** Number the next frame is to have. */
  readonly nextFrame: number
  readonly epoch: number
  readonly frameCount: number
  readonly damages: readonly Damage[]
  /** False if frames are missing or cannot be read, so that what they said is unknown. */
  readonly isWhole: boolean
}

/** Applies the journal's frames from a point on, in the order of their numbers, up to the last whole one. */
export class Recovery {
  readonly #index: JournalIndex
  readonly #segments: Segments
  readonly #frameBytesMax: number
  /** Frames of a batch whose last frame has not come yet. */
  #waiting: FoundFrame[]
  /** Owners that have been removed: what is said of them later has no meaning. */
  readonly #removed: Set<OwnerId>

  constructor(index: JournalIndex, segments: Segments, sizes: JournalSizes) {
    this.#index = index
    this.#segments = segments
    this.#frameBytesMax = sizes.frameBytesMax
    this.#waiting = []
    this.#removed = new Set()
  }

  async run(start: StartingPoint): Promise<Replay> {
    const scan = new JournalScan(start.frame, this.#frameBytesMax, (frame) => this.#take(frame))
    const { cache } = this.#index
    const all = [...this.#segments.all].filter(({ id }) => id >= start.segment)
    for (const [at, segment] of all.entries()) {
      const from = segment.id === start.segment ? start.offset : 0
      const end = await scan.read(segment, { from, next: all[at + 1], pause: () => cache.quiet() })
      segment.usedBytes = Math.max(segment.usedBytes, end)
    }
    for (const { segment, offset, header } of this.#waiting) {
      scan.damages.push({
        segment: segment.id,
        offset,
        bytes: header.bytes,
        reason: unfinishedBatch,
      })
    }
    return scan
  }

  /** Applies a frame once the last of its batch is there. */
  #take(frame: FoundFrame): void {
    // A batch that a crash cut short is not finished by what a later run of the broker has written, nor one with a gap in it.
    const { epoch, number } = frame.header
    const last = this.#waiting.at(-1)
    if (last !== undefined && (last.header.epoch !== epoch || last.header.number + 1 !== number)) this.#waiting = []
    this.#waiting.push(frame)
    if (frame.header.continues) return
    const frames = this.#waiting
    this.#waiting = []
    for (const one of frames) {
      const applier = new Applier(this.#index, this.#removed, one.segment.id, one.offset)
      readFrame(one, (record) => applier.apply(record))
    }
  }
}

/** Applies the records of one frame to the index. */
class Applier {
  readonly #index: JournalIndex
  readonly #removed: Set<OwnerId>
  readonly #segment: number
  readonly #offset: number

  constructor(index: JournalIndex, removed: Set<OwnerId>, segment: number, offset: number) {
    this.#index = index
    this.#removed = removed
    this.#segment = segment
    this.#offset = offset
  }

  apply({ type, flags, priority, owner, sequence, bytes, at, end }: RecordView): void {
    const index = this.#index
    switch (type) {
      case RecordType.put: {
        const parts = (flags & putHasParts) !== 0 ? readParts(bytes, end) : undefined
        this.#know(owner)
        index.put(owner, priority, sequence, locationOf(this.#segment, this.#offset + at), end - at, parts)
        return
      }
      case RecordType.rewrite: {
        const parts = (flags & putHasParts) !== 0 ? readParts(bytes, end) : undefined
        const location = locationOf(this.#segment, this.#offset + at)
        index.relocate(owner, priority, sequence, { location, bytes: end - at, parts })
        return
      }
      case RecordType.reference:
        this.#know(owner)
        index.put(owner, priority, sequence, bytes.readDoubleLE(at), bytes.readUInt32LE(at + 8))
        return
      case RecordType.ack:
        index.ack(owner, priority, sequence, bytes.readDoubleLE(at))
        return
      case RecordType.redeliver:
        index.redeliver(owner, priority, sequence, bytes.readUInt32LE(at), bytes.readDoubleLE(at + 4))
        return
      case RecordType.define:
        index.define(owner, JSON.parse(bytes.toString('utf8', at, end)) as OwnerSpec)
        return
      case RecordType.remove:
        this.#removed.add(owner)
        index.remove(owner)
        return
      case RecordType.horizon:
        index.horizon(owner, sequence)
        return
      case RecordType.state: {
        const value = at + 2 + bytes.readUInt16LE(at)
        const key = bytes.toString('utf8', at + 2, value)
        index.setState(
          key,
          (flags & stateIsRemoved) === 0 ? Uint8Array.prototype.slice.call(bytes, value, end) : undefined,
        )
        return
      }
      case RecordType.part:
      case RecordType.epoch:
        return
      default:
        throw new Error(`a record has the unknown type ${String(type satisfies never)}`)
    }
  }

  /** An entry is never dropped because the definition of its owner cannot be read. */
  #know(owner: OwnerId): void {
    if (!this.#index.owners.has(owner) && !this.#removed.has(owner)) this.#index.rebuild(owner)
  }
}

/** The table of parts at the end of a put's payload: entries, after a u32 that counts them. */
export function readParts(bytes: Buffer, end: number): Part[] {
  const count = bytes.readUInt32LE(end - 4)
  const start = end - 4 - count * partEntryBytes
  const parts: Part[] = []
  for (let index = 0; index < count; index += 1) {
    const at = start + index * partEntryBytes
    parts.push({ location: bytes.readDoubleLE(at) as Location, length: bytes.readUInt32LE(at + 8) })
  }
  return parts
}
