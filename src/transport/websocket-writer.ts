import { isUtf8 } from 'node:buffer'
import type { Writable } from 'node:stream'
import type { SlabPool } from './slab-pool.ts'
import { headBytesMax, Opcode, putHead } from './websocket-frame.ts'

/** Pieces at least this long are sent from where they are, if no message begins or ends within. */
const copyBytesMax = 8 * 1024

type Done = (error?: Error | null) => void

/**
 * Writes bytes to a socket as WebSocket messages. These end at the marks, and with a write that no mark goes beyond. They
 * are of the kind that the peer sends, as ActiveMQ and RabbitMQ answer; text that would be none, for it is no UTF-8, goes
 * as binary.
 */
export class WebSocketWriter {
  readonly #socket: Writable
  readonly #slabs: SlabPool
  /** Where messages end, in bytes since the beginning, ascending. */
  readonly #marks: number[]
  #marksUsed: number
  #sentBytes: number
  /** Bytes of the message under way that are not written. */
  #messageLeft: number
  #slab: Buffer
  #used: number
  /** Writes of this batch that the socket has not taken, and one for the batch itself. */
  #open: number
  #done: Done
  readonly #onTaken: Done

  constructor(socket: Writable, slabs: SlabPool, marks: number[]) {
    this.#socket = socket
    this.#slabs = slabs
    this.#marks = marks
    this.#marksUsed = 0
    this.#sentBytes = 0
    this.#messageLeft = 0
    this.#slab = nothing
    this.#used = 0
    this.#open = 0
    this.#done = ignore
    this.#onTaken = (error) => this.#taken(error)
  }

  get sentBytes(): number {
    return this.#sentBytes
  }

  /** Calls `done` when the socket has taken all of it; not to be called again before. */
  write(chunks: readonly Buffer[], asText: boolean, done: Done): void {
    const end = chunks.reduce((sum, { length }) => sum + length, this.#sentBytes)
    const isText = asText && chunks.every((chunk) => isUtf8(chunk))
    this.#done = done
    this.#open = 1
    this.#socket.cork()
    for (const chunk of chunks) {
      if (this.#messageLeft >= chunk.length && chunk.length >= copyBytesMax) this.#pass(chunk)
      else this.#pack(chunk, end, asText, isText)
    }
    this.#flush()
    this.#socket.uncork()
    this.#forgetMarks()
    this.#taken()
  }

  /** Sends a piece of a message from where it is. */
  #pass(chunk: Buffer): void {
    this.#flush()
    this.#open += 1
    this.#socket.write(chunk, this.#onTaken)
    this.#messageLeft -= chunk.length
    this.#sentBytes += chunk.length
  }

  /** Copies a chunk, and the headers of the messages that begin in it. */
  #pack(chunk: Buffer, end: number, asText: boolean, isText: boolean): void {
    let from = 0
    while (from < chunk.length) {
      if (this.#slab.length - this.#used <= headBytesMax) {
        this.#flush()
        this.#slab = this.#slabs.take(chunk.length - from + headBytesMax, false)
      }
      if (this.#messageLeft === 0) {
        this.#messageLeft = this.#nextEnd(end) - this.#sentBytes
        const to = from + this.#messageLeft
        // All of it is text; or this message is, of which no part is elsewhere.
        const is = isText || (asText && to <= chunk.length && isUtf8(chunk.subarray(from, to)))
        this.#used = putHead(this.#slab, this.#used, is ? Opcode.text : Opcode.binary, this.#messageLeft)
      }
      const count = Math.min(this.#messageLeft, chunk.length - from, this.#slab.length - this.#used)
      chunk.copy(this.#slab, this.#used, from, from + count)
      this.#used += count
      this.#messageLeft -= count
      this.#sentBytes += count
      from += count
    }
  }

  #nextEnd(end: number): number {
    let mark = this.#marks[this.#marksUsed]
    while (mark !== undefined && mark <= this.#sentBytes) mark = this.#marks[++this.#marksUsed]
    return mark ?? end
  }

  #forgetMarks(): void {
    if (this.#marksUsed > 0) this.#marks.splice(0, this.#marksUsed)
    this.#marksUsed = 0
  }

  #flush(): void {
    const slab = this.#slab
    const used = this.#used
    this.#slab = nothing
    this.#used = 0
    if (used === 0) {
      if (slab !== nothing) this.#slabs.give(slab)
      return
    }
    this.#open += 1
    this.#socket.write(slab.subarray(0, used), (error) => {
      this.#slabs.give(slab)
      this.#taken(error)
    })
  }

  #taken(error?: Error | null): void {
    this.#open -= 1
    if (this.#open === 0) this.#done(error)
  }
}

const nothing = Buffer.alloc(0)

function ignore(): void {
  // Nothing is under way.
}
