import type { SendNumber } from '../../src/core.ts'
import { acceptedState, type ByteSink, writeDisposition } from './encoder.ts'

/** Marks ids whose sender settles last, after it has been told the outcome (part 2, section 2.8.3, `second`). */
const secondFlag = 2 ** 32

/**
 * Deliveries taken in on one session that wait until they are safe: then `accepted` goes out, for as many at a time as follow
 * each other. Numbers grow.
 */
export class Confirms {
  #numbers: SendNumber[]
  #ids: number[]
  #head: number

  constructor() {
    this.#numbers = []
    this.#ids = []
    this.#head = 0
  }

  get count(): number {
    return this.#numbers.length - this.#head
  }

  /** `isSecond`: the sender settles after us. */
  add(number: SendNumber, deliveryId: number, isSecond: boolean): void {
    this.#numbers.push(number)
    this.#ids.push(isSecond ? deliveryId + secondFlag : deliveryId)
  }

  /** Says `accepted` of every delivery whose number is at most `upTo`. */
  confirmed(upTo: SendNumber, sink: ByteSink, channel: number): void {
    const numbers = this.#numbers
    const ids = this.#ids
    let head = this.#head
    while (head < numbers.length && (numbers[head] as number) <= upTo) {
      const start = ids[head] as number
      const isSecond = start >= secondFlag
      const end = isSecond ? secondFlag * 2 : secondFlag
      let last = start
      head += 1
      while (head < numbers.length && (numbers[head] as number) <= upTo && ids[head] === last + 1 && last + 1 < end) {
        last += 1
        head += 1
      }
      const range = { first: start >>> 0, last: last >>> 0 }
      writeDisposition(sink, channel, true, range, !isSecond, acceptedState)
    }
    this.#head = head
    if (head === numbers.length) {
      numbers.length = 0
      ids.length = 0
      this.#head = 0
    } else if (head > 1024 && head * 2 > numbers.length) {
      this.#numbers = numbers.slice(head)
      this.#ids = ids.slice(head)
      this.#head = 0
    }
  }
}
