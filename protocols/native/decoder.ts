import { Cursor } from './cursor.ts'
import {
  Flag,
  frameHeadBytes,
  hasUnknownFlags,
  Malformed,
  prefaceBytes,
  protocolMajor,
  startsPreface,
} from './frame.ts'

/** Who is told what comes in. */
export interface FrameHandler {
  /** The peer speaks MNP; it understands versions up to this one. */
  onPreface(major: number, minor: number): void
  /**
   * One frame. The cursor is at the payload, ends with the frame, and is valid during the call only; what it reads are views of
   * the chunk. `corr` and `transaction` are 0 if the frame has none.
   */
  onFrame(type: number, cursor: Cursor, corr: number, transaction: number, flags: number): void
  /** What came is no MNP; nothing is decoded any more. */
  onMalformed(fault: Malformed): void
}

/** Cuts a stream of bytes into frames. Keeps no more than one frame of the size allowed. */
export class Decoder {
  /** The largest frame that is taken; what goes past it ends the connection before it is kept. */
  frameBytesMax: number
  /** During `onFrame`: the frame is alone in its bytes, which nobody else holds. */
  isAlone: boolean
  readonly #handler: FrameHandler
  readonly #cursor: Cursor
  readonly #allocate: (bytes: number) => Uint8Array
  #parts: Uint8Array[]
  #partsBytes: number
  /** Bytes that `#parts` must have before anything can be made of them. */
  #needed: number
  #hasPreface: boolean
  #isPaused: boolean
  #isClosed: boolean

  /** `allocate`: memory for a frame that comes in pieces; what is in it does not matter. */
  constructor(
    handler: FrameHandler,
    frameBytesMax: number,
    allocate: (bytes: number) => Uint8Array = (bytes) => new Uint8Array(bytes),
  ) {
    this.frameBytesMax = frameBytesMax
    this.isAlone = false
    this.#allocate = allocate
    this.#handler = handler
    this.#cursor = new Cursor()
    this.#parts = []
    this.#partsBytes = 0
    this.#needed = 0
    this.#hasPreface = false
    this.#isPaused = false
    this.#isClosed = false
  }

  /** Takes in what has come. The handler is called from inside. */
  push(chunk: Uint8Array): void {
    let rest = chunk
    while (rest.length > 0 && !this.#isClosed) {
      if (this.#isPaused) {
        this.#keep(rest, 0)
        return
      }
      if (this.#partsBytes === 0) {
        this.#decode(rest)
        return
      }
      // Only what the frame begun still lacks is copied; the frames behind it are read where they are.
      const lacking = Math.min(this.#needed - this.#partsBytes, rest.length)
      this.#keep(rest.subarray(0, lacking), 0)
      rest = rest.subarray(lacking)
      if (this.#partsBytes < this.#needed) continue
      this.isAlone = this.#parts.length > 1
      this.#decode(this.#takeParts())
      this.isAlone = false
    }
  }

  /** Decodes nothing until {@link resume}; the rest of the chunk is kept. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    if (this.#partsBytes > 0) this.#decode(this.#takeParts())
  }

  /** Copies what is kept of the last chunk, which may be written over afterwards. */
  own(): void {
    const last = this.#parts.pop()
    if (last === undefined) return
    this.#parts.push(this.#copyOf([last], last.length))
  }

  close(): void {
    this.#isClosed = true
    this.#parts = []
    this.#partsBytes = 0
  }

  #decode(bytes: Uint8Array): void {
    let at = 0
    try {
      if (!this.#hasPreface) at = this.#readPreface(bytes)
      while (this.#hasPreface && !this.#isPaused && !this.#isClosed) {
        const next = this.#readFrame(bytes, at)
        if (next === at) break
        at = next
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.close()
      this.#handler.onMalformed(error)
      return
    }
    if (at < bytes.length && !this.#isClosed) this.#keep(bytes, at)
  }

  #readPreface(bytes: Uint8Array): number {
    if (!startsPreface(bytes.subarray(0, prefaceBytes))) throw new Malformed('it does not begin with MNFD')
    this.#needed = prefaceBytes
    if (bytes.length < prefaceBytes) return 0
    if (bytes[6] !== 0 || bytes[7] !== 0) throw new Malformed('the last two bytes of the preface must be 0')
    this.#hasPreface = true
    this.#handler.onPreface(bytes[4] ?? protocolMajor, bytes[5] ?? 0)
    return prefaceBytes
  }

  /** Reads the frame at `at`, if it is whole. Returns where the next one begins. */
  #readFrame(bytes: Uint8Array, at: number): number {
    const left = bytes.length - at
    if (left < frameHeadBytes) {
      this.#needed = frameHeadBytes
      return at
    }
    const length =
      (bytes[at] as number) * 0x1000000 +
      (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
    if (length < 2) throw new Malformed(`a frame of ${length} bytes has no type and flags`)
    if (length > this.frameBytesMax) {
      throw new Malformed(`a frame of ${length} bytes is over the limit of ${this.frameBytesMax}`)
    }
    const end = at + 4 + length
    if (end > bytes.length) {
      this.#needed = 4 + length
      return at
    }
    const flags = bytes[at + 5] as number
    if (hasUnknownFlags(flags)) throw new Malformed(`flags ${flags} are unknown`)
    const cursor = this.#cursor.set(bytes, at + frameHeadBytes, end)
    const corr = flags & Flag.reply ? cursor.varint() : 0
    const transaction = flags & Flag.transaction ? cursor.varint() : 0
    this.#handler.onFrame(bytes[at + 4] as number, cursor, corr, transaction, flags)
    return end
  }

  #keep(bytes: Uint8Array, at: number): void {
    const rest = at === 0 ? bytes : bytes.subarray(at)
    this.#parts.push(rest)
    this.#partsBytes += rest.length
  }

  #takeParts(): Uint8Array {
    const parts = this.#parts
    const total = this.#partsBytes
    this.#parts = []
    this.#partsBytes = 0
    this.#needed = 0
    const [only] = parts
    if (parts.length === 1 && only !== undefined) return only
    return this.#copyOf(parts, total)
  }

  #copyOf(parts: readonly Uint8Array[], bytes: number): Uint8Array {
    const whole = this.#allocate(bytes)
    let at = 0
    for (const part of parts) {
      whole.set(part, at)
      at += part.length
    }
    return whole
  }
}
