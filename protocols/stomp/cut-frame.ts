import { type Frame, headerStride } from './frame.ts'

/** A buffer for a frame of known length is at first no larger than this, then at most this many times what has arrived. */
const startBytes = 16 * 1024
const growth = 4
/** Smaller buffers are parts of a larger one (Buffer.poolSize): most cut frames are short, and short-lived. */
const pooledBytesMax = 4 * 1024

/** A frame that is cut: its bytes so far, from its start, in a buffer that grows with them, and its header lines so far. */
export class CutFrame {
  /** Undefined if no frame is cut. */
  #bytes: Buffer | undefined
  #length: number
  /** As in {@link Frame.headers}. */
  #headers: Int32Array | undefined
  #headerCount: number

  constructor() {
    this.#bytes = undefined
    this.#length = 0
    this.#headers = undefined
    this.#headerCount = 0
  }

  /** With room behind what has arrived; undefined if no frame is cut. */
  get bytes(): Buffer | undefined {
    return this.#bytes
  }

  /** How many bytes have arrived. */
  get length(): number {
    return this.#length
  }

  /** Whether there are bytes, in memory that they share with nothing else. */
  get ownsBytes(): boolean {
    return this.#bytes !== undefined && this.#bytes.length >= pooledBytesMax
  }

  /** Copies the first or more bytes. `frameBytes`: length of the whole frame, if it is known. Returns all, with room behind them. */
  append(chunk: Buffer, start: number, end: number, frameBytes: number | undefined): Buffer {
    const had = this.#length
    const total = had + end - start
    let bytes = this.#bytes
    if (bytes === undefined || bytes.length < total) {
      const larger = allocate(capacityFor(total, frameBytes))
      bytes?.copy(larger, 0, 0, had)
      bytes = larger
      this.#bytes = larger
    }
    chunk.copy(bytes, had, start, end)
    this.#length = total
    return bytes
  }

  /** Keeps the header lines read since the last time, with positions from `start`. */
  saveHeaders(frame: Frame, start: number): void {
    const from = this.#headerCount * headerStride
    const to = frame.headerCount * headerStride
    if (from === to) return
    let saved = this.#headers
    if (saved === undefined || saved.length < to) {
      saved = new Int32Array(Math.max(8 * headerStride, to * 2))
      if (this.#headers !== undefined) saved.set(this.#headers)
      this.#headers = saved
    }
    for (let at = from; at < to; at++) {
      const value = frame.headers[at] as number
      saved[at] = at % headerStride === headerStride - 1 ? value : value - start
    }
    this.#headerCount = frame.headerCount
  }

  /** Puts the header lines that were kept into a frame that has none. False if none were. */
  restoreHeaders(frame: Frame): boolean {
    const saved = this.#headers
    if (saved === undefined) return false
    frame.restore(saved, this.#headerCount)
    return true
  }

  release(): void {
    this.#bytes = undefined
    this.#length = 0
    this.#headers = undefined
    this.#headerCount = 0
  }
}

/** How large a buffer for a frame of which `bytes` have arrived should be. */
function capacityFor(bytes: number, frameBytes: number | undefined): number {
  if (frameBytes === undefined) return Math.max(256, bytes * 2)
  return Math.max(bytes, Math.min(frameBytes, Math.max(startBytes, bytes * growth)))
}

function allocate(bytes: number): Buffer {
  return bytes < pooledBytesMax ? Buffer.allocUnsafe(bytes) : Buffer.allocUnsafeSlow(bytes)
}
