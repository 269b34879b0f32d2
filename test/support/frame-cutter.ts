import { prefaceBytes } from '../../protocols/native/frame.ts'

/** Follows a stream of MNP/1 and lets through its first `frames` frames; the preface counts as one. */
export class FrameCutter {
  /** Whole frames that have passed. */
  passed: number
  readonly #frames: number
  #held: Buffer

  constructor(frames: number) {
    this.passed = 0
    this.#frames = frames
    this.#held = Buffer.alloc(0)
  }

  get isShut(): boolean {
    return this.passed >= this.#frames
  }

  /** The bytes of whole frames that may pass now; the rest of a frame waits. */
  push(chunk: Uint8Array): Buffer {
    this.#held = Buffer.concat([this.#held, chunk])
    let end = 0
    while (!this.isShut) {
      const length = this.passed === 0 ? prefaceBytes : this.#frameBytes(end)
      if (length === 0 || end + length > this.#held.length) break
      end += length
      this.passed += 1
    }
    const whole = this.#held.subarray(0, end)
    this.#held = this.#held.subarray(end)
    return whole
  }

  #frameBytes(at: number): number {
    return at + 4 > this.#held.length ? 0 : 4 + this.#held.readUInt32BE(at)
  }
}
