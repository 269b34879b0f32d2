/** Fewer bytes than this are copied sooner by `set`. */
const fillBytesMin = 128

/**
 * Copies bytes into memory that may be shared with a thread. There `set` goes byte by byte, unless both sides happen to be aligned
 * alike: 0.30 us for 1 KiB, 5.5 us for 16 KiB. `fill` with a pattern as long as what it fills is one plain copy: 0.07 and 0.42 us.
 */
export function copyInto(memory: Buffer, bytes: Uint8Array, at: number): void {
  if (bytes.length < fillBytesMin) memory.set(bytes, at)
  else memory.fill(bytes, at, at + bytes.length)
}

/** Few bytes that are copied and compared over and over, as numbers: a third of the time of `set`. */
export class Stencil {
  readonly length: number
  readonly #words: Int32Array
  readonly #rest: Uint8Array

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.length = bytes.length
    this.#words = Int32Array.from({ length: bytes.length >>> 2 }, (_, index) => view.getInt32(index * 4, true))
    this.#rest = bytes.slice(this.#words.length * 4)
  }

  /** Copies them into memory of which that is a view. Returns where they end. */
  copyInto(view: DataView, at: number): number {
    const words = this.#words
    const rest = this.#rest
    let end = at
    for (let index = 0; index < words.length; index += 1) {
      view.setInt32(end, words[index] as number, true)
      end += 4
    }
    for (let index = 0; index < rest.length; index += 1) {
      view.setUint8(end, rest[index] as number)
      end += 1
    }
    return end
  }

  /** Whether they are what is in the memory of a view from one place to another. */
  isAt(view: DataView, at: number, end: number): boolean {
    if (end - at !== this.length) return false
    const words = this.#words
    const rest = this.#rest
    let next = at
    for (let index = 0; index < words.length; index += 1) {
      if (view.getInt32(next, true) !== words[index]) return false
      next += 4
    }
    for (let index = 0; index < rest.length; index += 1) if (view.getUint8(next + index) !== rest[index]) return false
    return true
  }
}
