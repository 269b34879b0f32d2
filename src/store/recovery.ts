import {
  type FrameHeader,
  frameHeaderBytes,
  isFrameIntact,
  type RecordHandler,
  RecordType,
  readFrameHeader,
  readRecords,
  stateIsRemoved,
} from './frame.ts'
import { type Part, partEntryBytes, putHasParts } from './journal-frame.ts'
import type { JournalIndex } from './journal-index.ts'
import type { JournalSizes } from './journal-limits.ts'
import { type Location, locationOf } from './pending-index.ts'
import type { Segment, Segments } from './segments.ts'
import type { OwnerId, OwnerSpec } from './store.ts'

/** A stretch of the journal that is not what was written there. */
export interface Damage {
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  readonly reason: string
}

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

interface WaitingFrame {
  readonly segment: Segment
  readonly offset: number
  readonly header: FrameHeader
  readonly bytes: Buffer
}

/** Applies the journal's frames from a point on, in the order of their numbers, up to the last whole one. */
export class Recovery {
  readonly #index: JournalIndex
  readonly #segments: Segments
  readonly #frameBytesMax: number
  readonly #damages: Damage[]
  /** Frames of a batch whose last frame has not come yet. */
  #waiting: WaitingFrame[]
  #nextFrame: number
  #epoch: number
  #frameCount: number
  #isWhole: boolean
  /** Owners that have been removed: what is said of them later has no meaning. */
  readonly #removed: Set<OwnerId>

  constructor(index: JournalIndex, segments: Segments, sizes: JournalSizes) {
    this.#index = index
    this.#segments = segments
    this.#frameBytesMax = sizes.frameBytesMax
    this.#damages = []
    this.#waiting = []
    this.#nextFrame = 0
    this.#epoch = 0
    this.#frameCount = 0
    this.#isWhole = true
    this.#removed = new Set()
  }

  async run(start: StartingPoint): Promise<Replay> {
    this.#nextFrame = start.frame
    for (const segment of this.#segments.all) {
      if (segment.id >= start.segment) await this.#readSegment(segment, segment.id === start.segment ? start.offset : 0)
    }
    for (const { segment, offset, header } of this.#waiting) {
      this.#damages.push({
        segment: segment.id,
        offset,
        bytes: header.bytes,
        reason: 'the end of its batch was never written',
      })
    }
    return {
      nextFrame: this.#nextFrame,
      epoch: this.#epoch,
      frameCount: this.#frameCount,
      damages: this.#damages,
      isWhole: this.#isWhole,
    }
  }

  async #readSegment(segment: Segment, from: number): Promise<void> {
    const size = await segment.file.size()
    let offset = from
    while (offset + frameHeaderBytes <= size) {
      const bytes = await segment.file.read(offset, Math.min(size - offset, this.#frameBytesMax))
      const used = this.#readFrames(segment, offset, bytes)
      offset += used
      if (used === 0) {
        const next = await this.#findFrame(segment, offset + 1, size)
        if (next < 0) break
        this.#damages.push({ segment: segment.id, offset, bytes: next - offset, reason: 'no frame can be read here' })
        this.#isWhole = false
        offset = next
      }
    }
    segment.usedBytes = Math.max(segment.usedBytes, offset)
  }

  /** Applies the whole frames at the start of the bytes. Returns how long they are together. */
  #readFrames(segment: Segment, offset: number, bytes: Buffer): number {
    let at = 0
    for (
      let header = this.#frameAt(segment, bytes, at);
      header !== undefined;
      header = this.#frameAt(segment, bytes, at)
    ) {
      if (header.number > this.#nextFrame) this.#noteGap(segment, offset + at, header)
      this.#nextFrame = header.number + 1
      this.#epoch = Math.max(this.#epoch, header.epoch)
      this.#frameCount += 1
      this.#take({ segment, offset: offset + at, header, bytes: bytes.subarray(at, at + header.bytes) })
      at += header.bytes
    }
    return at
  }

  /** The intact frame at a place, if it is of this segment and not older than what has been read. */
  #frameAt(segment: Segment, bytes: Buffer, at: number): FrameHeader | undefined {
    const header = readFrameHeader(bytes, at)
    if (header === undefined || header.segment !== segment.id || header.number < this.#nextFrame) return undefined
    return isFrameIntact(bytes, at, header) ? header : undefined
  }

  #noteGap(segment: Segment, offset: number, header: FrameHeader): void {
    const missing = header.number - this.#nextFrame
    this.#waiting = []
    this.#isWhole = false
    this.#damages.push({
      segment: segment.id,
      offset,
      bytes: 0,
      reason: `${missing} frames before frame ${header.number} are missing`,
    })
  }

  /** Looks for a later intact frame of the segment; -1 if there is none. */
  async #findFrame(segment: Segment, from: number, size: number): Promise<number> {
    for (let offset = from; offset + frameHeaderBytes <= size; ) {
      const bytes = await segment.file.read(offset, Math.min(size - offset, 2 * this.#frameBytesMax))
      for (let at = 0; at + frameHeaderBytes <= bytes.length; at += 1) {
        const found = bytes.indexOf('MMJ1', at, 'latin1')
        if (found < 0) break
        at = found
        if (this.#frameAt(segment, bytes, found) !== undefined) return offset + found
      }
      if (offset + bytes.length >= size) return -1
      offset += this.#frameBytesMax
    }
    return -1
  }

  /** Applies a frame once the last of its batch is there. */
  #take(frame: WaitingFrame): void {
    // A batch that a crash cut short is not finished by what a later run of the broker has written.
    if (this.#waiting.some(({ header }) => header.epoch !== frame.header.epoch)) this.#waiting = []
    this.#waiting.push(frame)
    if (frame.header.continues) return
    const frames = this.#waiting
    this.#waiting = []
    for (const { segment, offset, header, bytes } of frames) {
      readRecords(bytes, 0, header, new Applier(this.#index, this.#removed, segment.id, offset))
    }
  }
}

/** Applies the records of one frame to the index. */
class Applier implements RecordHandler {
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

  record(
    type: RecordType,
    flags: number,
    priority: number,
    owner: number,
    sequence: number,
    bytes: Buffer,
    at: number,
    end: number,
  ): void {
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
        index.relocate(owner, priority, sequence, locationOf(this.#segment, this.#offset + at), end - at, parts)
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
