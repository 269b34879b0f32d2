/**
 * What a body carries, in the machine's order of bytes (little-endian on all that run this), so that whoever gets it can tell where it comes from and when it was sent:
 *
 *     0   run         32 bits, tells this run's messages from all others
 *     4   producer    32 bits, counted from 0
 *     8   sequence    64-bit float, counted from 0 for each producer
 *     16  time        64-bit float, monotonic milliseconds: sent, or with a schedule due
 *     24  filler      up to the size of the row
 */
export const stampBytes = 24

const fillerByte = 120

/** A body to send again and again, stamped anew each time. */
export class StampedBody {
  readonly bytes: Buffer
  /** Sequence and time. */
  readonly #numbers: Float64Array

  constructor(run: number, producer: number, size: number) {
    if (size < stampBytes) throw new Error(`a body needs at least ${stampBytes} bytes`)
    this.bytes = Buffer.alloc(size, fillerByte)
    this.bytes.writeUInt32LE(run, 0)
    this.bytes.writeUInt32LE(producer, 4)
    this.#numbers = new Float64Array(this.bytes.buffer, this.bytes.byteOffset + 8, 2)
    this.stamp(0, 0)
  }

  stamp(sequence: number, timeMs: number): void {
    this.#numbers[0] = sequence
    this.#numbers[1] = timeMs
  }
}

/** The parts of a body that begins at `at` and has at least {@link stampBytes}. */
export function runOf(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at)
}

export function producerOf(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4)
}

export function sequenceOf(bytes: Buffer, at: number): number {
  return bytes.readDoubleLE(at + 8)
}

export function timeOf(bytes: Buffer, at: number): number {
  return bytes.readDoubleLE(at + 16)
}
