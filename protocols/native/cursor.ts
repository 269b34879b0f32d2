import { Malformed } from './frame.ts'
import { varintBytesMax, varintMax } from './limits.ts'
import { readText } from './text.ts'

export const noBytes = new Uint8Array(0)

/** Reads bytes one thing after the other. Everything is checked against the end; what goes past it throws {@link Malformed}. */
export class Cursor {
  bytes: Uint8Array
  at: number
  end: number
  #view: DataView | undefined

  constructor(bytes: Uint8Array = noBytes) {
    this.bytes = bytes
    this.at = 0
    this.end = bytes.length
    this.#view = undefined
  }

  /** Goes on with other bytes. */
  set(bytes: Uint8Array, at: number, end: number): this {
    if (bytes !== this.bytes) this.#view = undefined
    this.bytes = bytes
    this.at = at
    this.end = end
    return this
  }

  get left(): number {
    return this.end - this.at
  }

  byte(): number {
    const { at } = this
    if (at >= this.end) throw cut()
    this.at = at + 1
    return this.bytes[at] as number
  }

  u16(): number {
    const at = this.skip(2)
    return ((this.bytes[at] as number) << 8) | (this.bytes[at + 1] as number)
  }

  varint(): number {
    const { bytes, end } = this
    let { at } = this
    if (at >= end) throw cut()
    const first = bytes[at] as number
    at += 1
    if (first < 0x80) {
      this.at = at
      return first
    }
    let value = first & 0x7f
    let factor = 128
    for (let count = 1; ; count += 1) {
      if (at >= end) throw cut()
      if (count >= varintBytesMax) throw new Malformed(`a number has more than ${varintBytesMax} bytes`)
      const byte = bytes[at] as number
      at += 1
      value += (byte & 0x7f) * factor
      if (byte < 0x80) break
      factor *= 128
    }
    if (value > varintMax) throw new Malformed('a number is above 2^53 - 1')
    this.at = at
    return value
  }

  /** A length that what is left can hold. */
  length(): number {
    const length = this.varint()
    if (length > this.end - this.at) throw cut()
    return length
  }

  /** A count of things that take at least `bytesEach`. */
  count(bytesEach: number, countMax: number): number {
    const count = this.varint()
    if (count > countMax) throw new Malformed(`${count} entries are more than ${countMax}`)
    if (count * bytesEach > this.end - this.at) throw cut()
    return count
  }

  string(): string {
    const length = this.length()
    const start = this.at
    this.at = start + length
    return readText(this.bytes, start, this.at)
  }

  /** A view of the bytes that follow their length. */
  block(): Uint8Array {
    const length = this.length()
    const start = this.skip(length)
    return this.bytes.subarray(start, start + length)
  }

  /** Goes past so many bytes. Returns where they begin. */
  skip(bytes: number): number {
    const { at } = this
    if (bytes > this.end - at) throw cut()
    this.at = at + bytes
    return at
  }

  /** Goes past a length and that many bytes. */
  skipBlock(): void {
    this.skip(this.length())
  }

  /** For numbers of a fixed width at what {@link skip} returns. */
  get view(): DataView {
    const { bytes } = this
    this.#view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return this.#view
  }

  /** Nothing may be left. */
  close(): void {
    if (this.at !== this.end) throw new Malformed(`${this.end - this.at} bytes too many`)
  }
}

function cut(): Malformed {
  return new Malformed('it ends too early')
}
