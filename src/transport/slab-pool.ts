const smallBytes = 4 * 1024
const largeBytes = 64 * 1024
const smallKept = 1024
const largeKept = 256

/** Reused output buffers of two sizes, so that neither ten thousand quiet wires nor one busy one costs much. */
export class SlabPool {
  readonly #small: Buffer[]
  readonly #large: Buffer[]

  constructor() {
    this.#small = []
    this.#large = []
  }

  /** A buffer of at least `bytes`; a large one if the wire is `busy`. */
  take(bytes: number, busy: boolean): Buffer {
    if (bytes > largeBytes) return Buffer.allocUnsafeSlow(bytes)
    if (busy || bytes > smallBytes) return this.#large.pop() ?? Buffer.allocUnsafeSlow(largeBytes)
    return this.#small.pop() ?? Buffer.allocUnsafeSlow(smallBytes)
  }

  /** Takes back a whole buffer of {@link take} that nobody reads any more. */
  give(slab: Buffer): void {
    if (slab.length === largeBytes && this.#large.length < largeKept) this.#large.push(slab)
    else if (slab.length === smallBytes && this.#small.length < smallKept) this.#small.push(slab)
  }
}
