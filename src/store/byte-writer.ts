/** Writes little-endian numbers and texts one after another, into memory that grows. */
export class ByteWriter {
  #memory: Buffer
  #at: number

  constructor(bytes = 64 * 1024) {
    this.#memory = Buffer.allocUnsafeSlow(bytes)
    this.#at = 0
  }

  /** Starts anew in the same memory. */
  clear(): void {
    this.#at = 0
  }

  get length(): number {
    return this.#at
  }

  /** What has been written; a view. */
  get bytes(): Buffer {
    return this.#memory.subarray(0, this.#at)
  }

  /** Memory for so many bytes, to be written at once; a view until the next call. */
  take(bytes: number): DataView {
    const at = this.#room(bytes)
    return new DataView(this.#memory.buffer, this.#memory.byteOffset + at, bytes)
  }

  u8(value: number): void {
    this.#memory[this.#room(1)] = value
  }

  u16(value: number): void {
    const at = this.#room(2)
    this.#memory.writeUInt16LE(value, at)
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#memory.writeUInt32LE(value, at)
  }

  f64(value: number): void {
    const at = this.#room(8)
    this.#memory.writeDoubleLE(value, at)
  }

  /** Writes over a number that was written at `at`. */
  putU32(at: number, value: number): void {
    this.#memory.writeUInt32LE(value, at)
  }

  /** The bytes alone, without their length. */
  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length)
    this.#memory.set(bytes, at)
  }

  /** A text after its length, u32. */
  text(text: string): void {
    const at = this.#room(4 + 3 * text.length)
    const bytes = this.#memory.write(text, at + 4)
    this.#memory.writeUInt32LE(bytes, at)
    this.#at = at + 4 + bytes
  }

  #room(bytes: number): number {
    const at = this.#at
    this.#at = at + bytes
    if (this.#at > this.#memory.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#memory.length, this.#at))
      grown.set(this.#memory.subarray(0, at))
      this.#memory = grown
    }
    return at
  }
}

/** Reads what a {@link ByteWriter} has written. Throws a RangeError past the end. */
export class ByteReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  u8(): number {
    this.#at += 1
    return this.#bytes.readUInt8(this.#at - 1)
  }

  u16(): number {
    this.#at += 2
    return this.#bytes.readUInt16LE(this.#at - 2)
  }

  u32(): number {
    this.#at += 4
    return this.#bytes.readUInt32LE(this.#at - 4)
  }

  f64(): number {
    this.#at += 8
    return this.#bytes.readDoubleLE(this.#at - 8)
  }

  /** A copy of so many bytes. */
  raw(length: number): Uint8Array {
    const at = this.#at
    if (at + length > this.#bytes.length) throw new RangeError('past the end')
    this.#at = at + length
    return Uint8Array.prototype.slice.call(this.#bytes, at, at + length)
  }

  text(): string {
    const length = this.u32()
    this.#at += length
    if (this.#at > this.#bytes.length) throw new RangeError('past the end')
    return this.#bytes.toString('utf8', this.#at - length, this.#at)
  }
}
