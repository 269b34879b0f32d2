import { type FrameHeader, frameHeaderBytes, isFrameIntact, readFrameHeader } from './frame.ts'
import type { Segment } from './segments.ts'

/** A stretch of the journal that is not what was written there. */
export interface Damage {
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  readonly reason: string
}

/** A whole frame, in a segment at an offset; `bytes` start with it. */
export interface FoundFrame {
  readonly segment: Segment
  readonly offset: number
  readonly header: FrameHeader
  readonly bytes: Buffer
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

  /** Reads a segment from an offset on. `pause` is waited for now and then. Returns where its last frame ends. */
  async read(segment: Segment, from: number, pause: () => Promise<void>): Promise<number> {
    const size = await segment.file.size()
    let offset = from
    while (offset + frameHeaderBytes <= size) {
      const bytes = await segment.file.read(offset, Math.min(size - offset, this.#frameBytesMax))
      const used = this.#readFrames(segment, offset, bytes)
      await pause()
      offset += used
      if (used === 0) {
        const next = await this.#findFrame(segment, offset + 1, size)
        if (next < 0) break
        this.damages.push({ segment: segment.id, offset, bytes: next - offset, reason: 'no frame can be read here' })
        this.isWhole = false
        offset = next
      }
    }
    return offset
  }

  /** Hands on the whole frames at the start of the bytes. Returns how long they are together. */
  #readFrames(segment: Segment, offset: number, bytes: Buffer): number {
    let at = 0
    for (
      let header = this.#frameAt(segment, bytes, at);
      header !== undefined;
      header = this.#frameAt(segment, bytes, at)
    ) {
      if (header.number > this.nextFrame) this.#noteGap(segment, offset + at, header)
      this.nextFrame = header.number + 1
      this.epoch = Math.max(this.epoch, header.epoch)
      this.frameCount += 1
      this.#found({ segment, offset: offset + at, header, bytes: bytes.subarray(at, at + header.bytes) })
      at += header.bytes
    }
    return at
  }

  /** The intact frame at a place, if it is of this segment and not older than what has been read. */
  #frameAt(segment: Segment, bytes: Buffer, at: number): FrameHeader | undefined {
    const header = readFrameHeader(bytes, at)
    if (header === undefined || header.segment !== segment.id || header.number < this.nextFrame) return undefined
    return isFrameIntact(bytes, at, header) ? header : undefined
  }

  #noteGap(segment: Segment, offset: number, header: FrameHeader): void {
    const missing = header.number - this.nextFrame
    this.isWhole = false
    const reason = `${missing} frames before frame ${header.number} are missing`
    this.damages.push({ segment: segment.id, offset, bytes: 0, reason })
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
}
