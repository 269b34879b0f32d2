import type { ByteSink } from '../../../protocols/stomp/encoder.ts'

/** A sink that keeps everything, and refuses writes past what was reserved. */
export class BytesSink implements ByteSink {
  buffer: Buffer
  position: number
  reserves: number
  #reserved: number
  #store: Buffer

  constructor() {
    this.#store = Buffer.alloc(1024)
    this.buffer = Buffer.alloc(0)
    this.position = 0
    this.reserves = 0
    this.#reserved = 0
  }

  /** All that was written. */
  get bytes(): Buffer {
    if (this.position > this.#reserved)
      throw new Error(`wrote ${this.position - this.#reserved} bytes past the reserve`)
    return this.buffer.subarray(0, this.position)
  }

  reserve(bytes: number): void {
    const old = this.bytes
    this.reserves += 1
    this.#reserved = this.position + bytes
    if (this.#store.length < this.#reserved) this.#store = Buffer.alloc(this.#reserved * 2)
    if (old.buffer !== this.#store.buffer) old.copy(this.#store)
    // Exactly what was reserved, so that a byte too many is lost and shows.
    this.buffer = this.#store.subarray(0, this.#reserved)
  }

  write(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.position)
    this.position += bytes.length
  }
}
