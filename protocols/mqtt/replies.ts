import type { SendNumber } from '../../src/core.ts'
import { type ByteSink, writeAck } from './encoder.ts'
import { type Level, PacketType } from './packet.ts'

/** An acknowledgement as one number: packet type, reason and packet id. */
type Packed = number

/** Compacted when this many have gone, and at least half of all. */
const goneMin = 1024

/**
 * Answers that wait until what they promise is true. They leave in the order in which they were asked for, as acknowledgements
 * have to [MQTT-4.6.0-2] to -4, many at a time, since confirms are cumulative.
 */
export class Replies {
  readonly #sink: ByteSink
  readonly #level: Level
  /** For each answer the number that confirms it, from `#head` on. */
  #numbers: SendNumber[]
  #answers: (Packed | (() => void))[]
  #head: number
  /** PUBACKs among them. */
  pubackCount: number

  constructor(sink: ByteSink, level: Level) {
    this.#sink = sink
    this.#level = level
    this.#numbers = []
    this.#answers = []
    this.#head = 0
    this.pubackCount = 0
  }

  get count(): number {
    return this.#numbers.length - this.#head
  }

  /** Writes an acknowledgement once the number is confirmed. Numbers never fall. */
  add(number: SendNumber, type: PacketType, id: number, reason: number): void {
    if (type === PacketType.puback) this.pubackCount += 1
    this.#numbers.push(number)
    this.#answers.push((type << 24) | (reason << 16) | id)
  }

  /** Does something once the number is confirmed. */
  defer(number: SendNumber, run: () => void): void {
    this.#numbers.push(number)
    this.#answers.push(run)
  }

  /** Answers everything whose number is at most `upTo`. */
  confirmed(upTo: SendNumber): void {
    while (this.#head < this.#numbers.length && (this.#numbers[this.#head] as number) <= upTo) {
      const answer = this.#answers[this.#head] as Packed | (() => void)
      this.#head += 1
      if (typeof answer !== 'number') answer()
      else this.#write(answer)
    }
    if (this.#head === this.#numbers.length) this.#reset()
    else if (this.#head > goneMin && this.#head * 2 > this.#numbers.length) this.#compact()
  }

  #write(answer: Packed): void {
    const type = (answer >> 24) as PacketType
    if (type === PacketType.puback) this.pubackCount -= 1
    writeAck(this.#sink, type, answer & 0xffff, (answer >> 16) & 255, this.#level)
  }

  #reset(): void {
    this.#numbers.length = 0
    this.#answers.length = 0
    this.#head = 0
  }

  #compact(): void {
    this.#numbers = this.#numbers.slice(this.#head)
    this.#answers = this.#answers.slice(this.#head)
    this.#head = 0
  }
}
