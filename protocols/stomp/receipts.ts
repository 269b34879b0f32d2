import type { Output, SendNumber } from '../../src/core.ts'
import { type ByteSink, writeReceipt } from './encoder.ts'

/** Bytes moved to the output at a time. */
const copyBytes = 16 * 1024
const startBytes = 256

/**
 * RECEIPT frames that wait until what they promise is true. They are encoded when they are asked for and leave in that order,
 * many at a time, since confirms are cumulative.
 */
export class Receipts implements ByteSink {
  buffer: Buffer
  position: number
  /** First byte not yet sent. */
  #start: number
  /** For each waiting receipt the number that confirms it and where its frame ends, from `#head` on. */
  #numbers: number[]
  #ends: number[]
  #head: number

  constructor() {
    this.buffer = Buffer.alloc(0)
    this.position = 0
    this.#start = 0
    this.#numbers = []
    this.#ends = []
    this.#head = 0
  }

  get count(): number {
    return this.#numbers.length - this.#head
  }

  /** Keeps a RECEIPT for the raw id, bytes `start` to `end` of `raw`, until `number` is confirmed. Numbers grow. */
  add(number: SendNumber, raw: Uint8Array, start: number, end: number): void {
    writeReceipt(this, raw, start, end)
    this.#numbers.push(number)
    this.#ends.push(this.position)
  }

  /** Sends every receipt whose number is at most `upTo`. */
  confirmed(upTo: SendNumber, output: Output): void {
    let head = this.#head
    const numbers = this.#numbers
    while (head < numbers.length && (numbers[head] as number) <= upTo) head += 1
    if (head === this.#head) return
    const end = this.#ends[head - 1] as number
    for (let from = this.#start; from < end; from += copyBytes)
      this.#copy(from, Math.min(end, from + copyBytes), output)
    if (output.hasMessages) {
      for (let index = this.#head; index < head; index += 1) output.endFrame(end - (this.#ends[index] as number))
    }
    this.#start = end
    this.#head = head
    if (head === numbers.length) this.#reset()
    else if (head > 1024 && head * 2 > numbers.length) this.#compact()
  }

  reserve(bytes: number): void {
    if (this.buffer.length - this.position >= bytes) return
    const waiting = this.position - this.#start
    const size = Math.max(startBytes, (waiting + bytes) * 2)
    const grown = Buffer.allocUnsafeSlow(size)
    this.buffer.copy(grown, 0, this.#start, this.position)
    const moved = this.#start
    for (let index = this.#head; index < this.#ends.length; index += 1)
      this.#ends[index] = (this.#ends[index] as number) - moved
    this.buffer = grown
    this.position = waiting
    this.#start = 0
  }

  write(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.position)
    this.position += bytes.length
  }

  #copy(from: number, to: number, output: Output): void {
    output.reserve(to - from)
    this.buffer.copy(output.buffer, output.position, from, to)
    output.position += to - from
  }

  #reset(): void {
    this.#numbers.length = 0
    this.#ends.length = 0
    this.#head = 0
    this.#start = 0
    this.position = 0
  }

  #compact(): void {
    this.#numbers = this.#numbers.slice(this.#head)
    this.#ends = this.#ends.slice(this.#head)
    this.#head = 0
  }
}
