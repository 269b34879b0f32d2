import type { Writable } from 'node:stream'
import type { Flushable, Turn } from '../turn.ts'
import type { SlabPool } from './slab-pool.ts'

/** Bodies at least this long are sent from where they are instead of being copied into the slab. */
const copyBytesMax = 8 * 1024
const noBytes = Buffer.alloc(0)

export interface OutputEvents {
  /** More than the high watermark is waiting for the peer to read. */
  congested(): void
  /** The peer has read: what waits is below the low watermark again. */
  drained(): void
}

/** Bytes to send, and the slab to give back once they are gone; bodies sent from where they are have none. */
interface Piece {
  readonly bytes: Uint8Array
  readonly slab: Buffer | undefined
}

/**
 * The bytes on their way to one peer. Encoders write into `buffer` from `position` after {@link reserve}; the turn flushes
 * each output once. Slabs go back to the pool when the stream has taken them.
 */
export class Output implements Flushable {
  /** Where the next byte goes; only valid after {@link reserve}. */
  buffer: Buffer
  position: number
  flushMarked: boolean
  readonly #stream: Writable
  readonly #turn: Turn
  readonly #slabs: SlabPool
  readonly #events: OutputEvents
  readonly #highBytes: number
  readonly #lowBytes: number
  #pieces: Piece[]
  #piecesBytes: number
  /** Bytes the stream has not yet handed to the operating system. */
  #inFlightBytes: number
  #isCongested: boolean

  constructor(stream: Writable, turn: Turn, slabs: SlabPool, highBytes: number, events: OutputEvents) {
    this.buffer = noBytes
    this.position = 0
    this.flushMarked = false
    this.#stream = stream
    this.#turn = turn
    this.#slabs = slabs
    this.#events = events
    this.#highBytes = highBytes
    this.#lowBytes = highBytes >> 1
    this.#pieces = []
    this.#piecesBytes = 0
    this.#inFlightBytes = 0
    this.#isCongested = false
  }

  /** Bytes written and not yet taken by the operating system. */
  get waitingBytes(): number {
    return this.#inFlightBytes + this.#piecesBytes + this.position
  }

  get isCongested(): boolean {
    return this.#isCongested
  }

  /** Makes room for `bytes` more at `position` of `buffer`, and marks the output for the turn's flush. */
  reserve(bytes: number): void {
    if (this.buffer.length - this.position < bytes) this.#roll(bytes)
    if (!this.flushMarked) this.#turn.markFlush(this)
  }

  /** Appends bytes: short ones are copied; long ones are sent from where they are and must not change any more. */
  write(bytes: Uint8Array): void {
    if (bytes.length < copyBytesMax) {
      this.reserve(bytes.length)
      this.buffer.set(bytes, this.position)
      this.position += bytes.length
      return
    }
    this.#cut()
    this.#pieces.push({ bytes, slab: undefined })
    this.#piecesBytes += bytes.length
    this.#turn.markFlush(this)
    this.#watch()
  }

  /** Hands everything written to the stream: one write, or one vectored write. Called by the turn. */
  flush(): void {
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) {
      this.discard()
      return
    }
    if (this.#pieces.length === 0) {
      if (this.position > 0) this.#hand(this.buffer.subarray(0, this.position), this.buffer)
      this.buffer = noBytes
      this.position = 0
      return
    }
    this.#cut()
    const pieces = this.#pieces
    this.#pieces = []
    this.#piecesBytes = 0
    stream.cork()
    for (const piece of pieces) this.#hand(piece.bytes, piece.slab)
    stream.uncork()
  }

  /** Flushes and ends the stream after the last byte. */
  end(): void {
    this.flush()
    if (!this.#stream.destroyed) this.#stream.end()
  }

  /** Forgets what has not been handed over. */
  discard(): void {
    this.#pieces = []
    this.#piecesBytes = 0
    this.buffer = noBytes
    this.position = 0
  }

  #roll(bytes: number): void {
    const grown = this.position > 0
    this.#cut()
    this.buffer = this.#slabs.take(bytes, grown || this.#pieces.length > 0)
    this.position = 0
    this.#watch()
  }

  #cut(): void {
    if (this.position > 0) {
      this.#pieces.push({ bytes: this.buffer.subarray(0, this.position), slab: this.buffer })
      this.#piecesBytes += this.position
    }
    this.buffer = noBytes
    this.position = 0
  }

  #hand(bytes: Uint8Array, slab: Buffer | undefined): void {
    const length = bytes.length
    this.#inFlightBytes += length
    this.#watch()
    this.#stream.write(bytes, () => {
      this.#inFlightBytes -= length
      if (slab !== undefined) this.#slabs.give(slab)
      if (this.#isCongested && this.waitingBytes <= this.#lowBytes) {
        this.#isCongested = false
        this.#events.drained()
      }
    })
  }

  #watch(): void {
    if (this.#isCongested || this.waitingBytes <= this.#highBytes) return
    this.#isCongested = true
    this.#events.congested()
  }
}
