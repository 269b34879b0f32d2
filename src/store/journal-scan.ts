import {
  blockEnd,
  type FrameHeader,
  frameHeaderBytes,
  isFrameIntact,
  type RecordHandler,
  readBlocks,
  readFrameHeader,
} from './frame.ts'
import type { Segment } from './segments.ts'

/** A stretch of the journal that is not what was written there. */
export interface Damage {
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  readonly reason: string
}

/** A frame in a segment at an offset; `bytes` start with it. */
export interface FoundFrame {
  readonly segment: Segment
  readonly offset: number
  readonly header: FrameHeader
  readonly bytes: Buffer
  /** False if some of its blocks are damaged, or its header was. */
  readonly isSound: boolean
}

/** Where reading of a segment begins, and which one follows it. */
export interface ScanRange {
  readonly from: number
  readonly next: Segment | undefined
  /** Waited for now and then. */
  pause(): Promise<void>
}

/** Goes through the records of a frame, but for those in damaged blocks. */
export function readFrame({ bytes, header, isSound, segment }: FoundFrame, handler: RecordHandler): void {
  const end = Math.min(bytes.length, header.bytes)
  if (isSound) readBlocks(bytes, frameHeaderBytes, end, handler)
  else
    for (const [from, to] of soundBlocks(bytes, frameHeaderBytes, end, segment.id)) readBlocks(bytes, from, to, handler)
}

/** Finds the frames of segments, in the order of their numbers. */
export class JournalScan {
  /** The number that the next frame is expected to have. */
  nextFrame: number
  epoch: number
  frameCount: number
  /** False once frames are missing or cannot be read, so that what they said is unknown. */
  isWhole: boolean
  readonly damages: Damage[]
  readonly #frameBytesMax: number
  readonly #found: (frame: FoundFrame) => void

  constructor(nextFrame: number, frameBytesMax: number, found: (frame: FoundFrame) => void) {
    this.nextFrame = nextFrame
    this.epoch = 0
    this.frameCount = 0
    this.isWhole = true
    this.damages = []
    this.#frameBytesMax = frameBytesMax
    this.#found = found
  }

  /** Reads a segment. Returns where its last frame ends. */
  async read(segment: Segment, { from, next, pause }: ScanRange): Promise<number> {
    const size = await segment.file.size()
    let offset = from
    while (offset + frameHeaderBytes <= size) {
      const bytes = await segment.file.read(offset, Math.min(size - offset, this.#frameBytesMax))
      let used = this.#readFrames(segment, offset, bytes)
      if (used === 0) used = await this.#readDamaged(segment, offset, bytes, next)
      if (used < 0) break
      await pause()
      offset += used
    }
    return offset
  }

  /** Hands on the whole frames at the start of the bytes. Returns how long they are together. */
  #readFrames(segment: Segment, offset: number, bytes: Buffer): number {
    let at = 0
    for (
      let header = this.#headerAt(segment, bytes, at);
      header !== undefined && isFrameIntact(bytes, at, header);
      header = this.#headerAt(segment, bytes, at)
    ) {
      this.#take({ segment, offset: offset + at, header, bytes: bytes.subarray(at, at + header.bytes), isSound: true })
      at += header.bytes
    }
    return at
  }

  /** What is not a whole frame: the end of the journal, or damage in it. Returns how long that is; -1 at the end. */
  async #readDamaged(segment: Segment, offset: number, bytes: Buffer, next: Segment | undefined): Promise<number> {
    const header = this.#headerAt(segment, bytes, 0)
    if (header !== undefined && (await this.#isFollowed(segment, offset, header, next))) {
      this.#takeDamaged({ segment, offset, header, bytes: bytes.subarray(0, header.bytes), isSound: false })
      return header.bytes
    }
    const found = await this.#findFrame(segment, offset + 1)
    if (found === undefined) {
      this.#noteTail(segment, offset, bytes, header)
      return -1
    }
    const length = found.offset - offset
    if (header === undefined && found.header.number === this.nextFrame + 1 && bytes.length >= length) {
      const { epoch } = found.header
      const lost = { bytes: length, recordCount: 0, epoch, segment: segment.id, number: this.nextFrame }
      const rebuilt = { ...lost, continues: false, digest: 0 }
      this.#takeDamaged({ segment, offset, header: rebuilt, bytes: bytes.subarray(0, length), isSound: false })
    } else {
      this.#damage(segment, offset, length, 'no frame can be read here')
    }
    return length
  }

  #take(frame: FoundFrame): void {
    const { header, segment, offset } = frame
    const missing = header.number - this.nextFrame
    if (missing > 0) this.#damage(segment, offset, 0, `${missing} frames before frame ${header.number} are missing`)
    this.nextFrame = header.number + 1
    this.epoch = Math.max(this.epoch, header.epoch)
    this.frameCount += 1
    this.#found(frame)
  }

  /** Of a frame that others follow, what is damaged is left out and the rest stands. */
  #takeDamaged(frame: FoundFrame): void {
    const { segment, offset, header, bytes } = frame
    let at = frameHeaderBytes
    let isBlockDamaged = false
    for (const [from, to] of [
      ...soundBlocks(bytes, at, bytes.length, segment.id),
      [header.bytes, header.bytes],
    ] as const) {
      if (from > at) {
        isBlockDamaged = true
        this.#damage(segment, offset + at, from - at, `a part of frame ${header.number} cannot be read`)
      }
      at = to
    }
    if (!isBlockDamaged)
      this.#damage(segment, offset, frameHeaderBytes, `the header of frame ${header.number} cannot be read`)
    this.#take(frame)
  }

  /** The end of the journal is not the end of a frame. Which of the two it was cannot be told. */
  #noteTail(segment: Segment, offset: number, bytes: Buffer, header: FrameHeader | undefined): void {
    if (header === undefined && blockEnd(bytes, frameHeaderBytes, bytes.length, segment.id) < 0) return
    this.damages.push({
      segment: segment.id,
      offset,
      bytes: header?.bytes ?? 0,
      reason: 'the last frame is not whole: a crash has cut its writing short, or it is damaged',
    })
  }

  #damage(segment: Segment, offset: number, bytes: number, reason: string): void {
    this.isWhole = false
    this.damages.push({ segment: segment.id, offset, bytes, reason })
  }

  /** The header at a place, if it is of this segment and not older than what has been read. */
  #headerAt(segment: Segment, bytes: Buffer, at: number): FrameHeader | undefined {
    const header = readFrameHeader(bytes, at)
    if (header === undefined || header.segment !== segment.id || header.number < this.nextFrame) return undefined
    return header
  }

  /** True if the frame after this one is there, so that this one has been written as a whole once. */
  async #isFollowed(
    segment: Segment,
    offset: number,
    header: FrameHeader,
    next: Segment | undefined,
  ): Promise<boolean> {
    const places = [{ in: segment, at: offset + header.bytes }, ...(next === undefined ? [] : [{ in: next, at: 0 }])]
    for (const place of places) {
      const bytes = await place.in.file.read(place.at, frameHeaderBytes)
      const found = readFrameHeader(bytes, 0)
      if (found?.segment === place.in.id && found.number === header.number + 1) return true
    }
    return false
  }

  /** Looks for a later intact frame of the segment. */
  async #findFrame(segment: Segment, from: number): Promise<{ offset: number; header: FrameHeader } | undefined> {
    const size = await segment.file.size()
    for (let offset = from; offset + frameHeaderBytes <= size; offset += this.#frameBytesMax) {
      const bytes = await segment.file.read(offset, Math.min(size - offset, 2 * this.#frameBytesMax))
      for (let at = bytes.indexOf('MMJ1'); at >= 0; at = bytes.indexOf('MMJ1', at + 1)) {
        const header = this.#headerAt(segment, bytes, at)
        if (header !== undefined && isFrameIntact(bytes, at, header)) return { offset: offset + at, header }
      }
      if (offset + bytes.length >= size) return undefined
    }
    return undefined
  }
}

/** The blocks between two places that are what was written: each from where to where. */
function* soundBlocks(bytes: Buffer, from: number, end: number, segment: number): Generator<readonly [number, number]> {
  for (let at = from; at < end; ) {
    const next = blockEnd(bytes, at, end, segment)
    if (next > 0) yield [at, next]
    at = next > 0 ? next : at + 1
  }
}
