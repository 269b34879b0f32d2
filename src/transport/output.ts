import type { Writable } from 'node:stream'
import type { Flushable, Turn } from '../turn.ts'
import type { SlabPool } from './slab-pool.ts'

/** Bodies at least this long are sent from where they are instead of being copied into the slab. */
const copyBytesMax = 8 * 1024
const noBytes = Buffer.alloc(0)

/** What an output tells the adapter that writes to it. */
export interface WireEvents {
  /** More than the high watermark is waiting for the peer to read: stop delivering. May come from within a write. */
  congested(): void
  /** The peer has read: what waits is below the low watermark again. */
  drained(): void
}

/** Bytes to send, and the slab to give back once they are gone: that of which they are the last, none of a body sent from where it is. */
interface Piece {
  readonly bytes: Uint8Array
  slab: Buffer | undefined
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
  readonly #events: WireEvents
  readonly #highBytes: number
  /** Undefined while there is none: most outputs are idle. */
  #pieces: Piece[] | undefined
  #piecesBytes: number
  /** Where in `buffer` begins what is in no piece yet: long bodies stand between pieces of one slab. */
  #start: number
  /** Bytes the stream has not yet handed to the operating system. */
  #inFlightBytes: number
  #takenBytes: number
  #isCongested: boolean
  readonly #marks: number[] | undefined

  /** `marks`: where to note, in bytes since the beginning, what {@link endFrame} says. */
  constructor(
    stream: Writable,
    turn: Turn,
    slabs: SlabPool,
    highBytes: number,
    events: WireEvents,
    marks: number[] | undefined = undefined,
  ) {
    this.buffer = noBytes
    this.position = 0
    this.flushMarked = false
    this.#stream = stream
    this.#turn = turn
    this.#slabs = slabs
    this.#events = events
    this.#highBytes = highBytes
    this.#pieces = undefined
    this.#piecesBytes = 0
    this.#start = 0
    this.#inFlightBytes = 0
    this.#takenBytes = 0
    this.#isCongested = false
    this.#marks = marks
  }

  /** Bytes written and not yet taken by the operating system. */
  get waitingBytes(): number {
    return this.#inFlightBytes + this.#piecesBytes + this.position - this.#start
  }

  /** Bytes the operating system has taken since the beginning. */
  get takenBytes(): number {
    return this.#takenBytes
  }

  get isCongested(): boolean {
    return this.#isCongested
  }

  /** Input of the same peer has been read and dealt with. */
  inputRead(): void {
    this.#turn.inputRead()
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
    if (this.position > this.#start) this.#add(this.buffer.subarray(this.#start, this.position))
    this.#start = this.position
    this.#add(bytes)
    this.#turn.markFlush(this)
    this.#watch()
  }

  /** Whether {@link endFrame} has a meaning to what carries the bytes. */
  get hasMessages(): boolean {
    return this.#marks !== undefined
  }

  /**
   * Says that a frame of the protocol ended `bytesAgo` before here. A carrier with messages (WebSocket) makes one of it;
   * without a call a message holds whatever is flushed at once.
   */
  endFrame(bytesAgo = 0): void {
    if (this.#marks !== undefined) this.#marks.push(this.#takenBytes + this.waitingBytes - bytesAgo)
  }

  /** Hands everything written to the stream: one write, or one vectored write. Called by the turn. */
  flush(): void {
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) {
      this.discard()
      return
    }
    if (this.#pieces === undefined) {
      const { buffer, position } = this
      this.#clear()
      if (position > 0) this.#hand(buffer.subarray(0, position), buffer)
      else this.#giveBack(buffer)
      return
    }
    this.#cut()
    const pieces = this.#pieces
    this.#pieces = undefined
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
    for (const piece of this.#pieces ?? []) this.#giveBack(piece.slab)
    this.#giveBack(this.buffer)
    this.#pieces = undefined
    this.#piecesBytes = 0
    this.#clear()
  }

  #roll(bytes: number): void {
    const grown = this.position > 0
    this.#cut()
    this.#watch()
    // Whoever was told of the congestion may have written.
    this.#cut()
    this.buffer = this.#slabs.take(bytes, grown || this.#pieces !== undefined)
  }

  /** Makes a piece of the rest of the buffer, which goes back with the last one that has anything of it or stands behind that. */
  #cut(): void {
    const { buffer, position } = this
    if (position > this.#start) this.#add(buffer.subarray(this.#start, position))
    this.#clear()
    const last = this.#pieces?.at(-1)
    if (position > 0 && last !== undefined) last.slab = buffer
    else this.#giveBack(buffer)
  }

  #clear(): void {
    this.buffer = noBytes
    this.position = 0
    this.#start = 0
  }

  #add(bytes: Uint8Array): void {
    const piece = { bytes, slab: undefined }
    if (this.#pieces === undefined) this.#pieces = [piece]
    else this.#pieces.push(piece)
    this.#piecesBytes += bytes.length
  }

  #hand(bytes: Uint8Array, slab: Buffer | undefined): void {
    const length = bytes.length
    this.#inFlightBytes += length
    this.#stream.write(bytes, () => this.#taken(length, slab))
    this.#watch()
  }

  /** The stream needs the bytes no more: they are sent, or never will be. */
  #taken(length: number, slab: Buffer | undefined): void {
    this.#inFlightBytes -= length
    this.#takenBytes += length
    this.#giveBack(slab)
    if (!this.#isCongested || this.waitingBytes > this.#highBytes / 2 || this.#stream.destroyed) return
    this.#isCongested = false
    this.#events.drained()
  }

  #giveBack(slab: Buffer | undefined): void {
    if (slab !== undefined && slab !== noBytes) this.#slabs.give(slab)
  }

  #watch(): void {
    if (this.#isCongested || this.waitingBytes <= this.#highBytes) return
    this.#isCongested = true
    this.#events.congested()
  }
}
