/** What is wrong with the messages of a run; all zero when nothing is. */
export interface Findings {
  /** Sent and never received, at each consumer that should have got it. */
  readonly lost: number
  /** Received more than once. */
  readonly duplicated: number
  /** Received by one consumer after a later one of the same producer. */
  readonly reordered: number
  /** Of another run, or never sent. */
  readonly foreign: number
  /** Of another length than was sent. */
  readonly altered: number
}

export interface LedgerShape {
  readonly producers: number
  readonly consumers: number
  /** Every consumer gets every message; otherwise one of them. */
  readonly isTopic: boolean
}

/** The numbers that have been seen. */
class Seen {
  #words: Uint32Array
  count: number

  constructor() {
    this.#words = new Uint32Array(64)
    this.count = 0
  }

  /** Notes a number; false if it was there already. */
  add(number: number): boolean {
    const word = Math.floor(number / 32)
    if (word >= this.#words.length) this.#grow(word + 1)
    const bit = 1 << (number % 32)
    const old = this.#words[word] as number
    if ((old & bit) !== 0) return false
    this.#words[word] = old | bit
    this.count += 1
    return true
  }

  /** How many of the numbers below `end` are there. */
  countBelow(end: number): number {
    let count = 0
    for (let number = 0; number < end; number += 1) {
      const word = this.#words[Math.floor(number / 32)] ?? 0
      if ((word & (1 << (number % 32))) !== 0) count += 1
    }
    return count
  }

  #grow(words: number): void {
    const grown = new Uint32Array(Math.max(words, this.#words.length * 2))
    grown.set(this.#words)
    this.#words = grown
  }
}

/** Keeps account of every delivery of a run: none lost, none twice, none out of order. */
export class Ledger {
  readonly #shape: LedgerShape
  /** Of a queue one for each producer, of a topic one for each producer at each consumer. */
  readonly #seen: Seen[]
  /** For each producer at each consumer the sequence that may come next. */
  readonly #next: Float64Array
  #received: number
  #duplicated: number
  #reordered: number
  #foreign: number
  #altered: number

  constructor(shape: LedgerShape) {
    const { producers, consumers, isTopic } = shape
    this.#shape = shape
    this.#seen = Array.from({ length: isTopic ? producers * consumers : producers }, () => new Seen())
    this.#next = new Float64Array(producers * consumers)
    this.#received = 0
    this.#duplicated = 0
    this.#reordered = 0
    this.#foreign = 0
    this.#altered = 0
  }

  /** Deliveries that were neither foreign nor duplicates. */
  get received(): number {
    return this.#received
  }

  /** One delivery to a consumer. */
  take(consumer: number, producer: number, sequence: number): void {
    const { producers, isTopic } = this.#shape
    const place = consumer * producers + producer
    const seen = producer < producers ? this.#seen[isTopic ? place : producer] : undefined
    if (seen === undefined || !Number.isSafeInteger(sequence) || sequence < 0 || sequence >= 2 ** 31) {
      this.#foreign += 1
      return
    }
    if (!seen.add(sequence)) {
      this.#duplicated += 1
      return
    }
    this.#received += 1
    if (sequence < (this.#next[place] as number)) this.#reordered += 1
    else this.#next[place] = sequence + 1
  }

  /** A message that is none of this run's. */
  takeForeign(): void {
    this.#foreign += 1
  }

  /** A message whose body has another length; to be taken as well. */
  takeAltered(): void {
    this.#altered += 1
  }

  /** How many deliveries there should be if each producer sent as many as `sent` says. */
  expected(sent: readonly number[]): number {
    const all = sent.reduce((sum, count) => sum + count, 0)
    return this.#shape.isTopic ? all * this.#shape.consumers : all
  }

  findings(sent: readonly number[]): Findings {
    let lost = 0
    let foreign = this.#foreign
    for (const [index, seen] of this.#seen.entries()) {
      const count = sent[index % this.#shape.producers] ?? 0
      const found = seen.countBelow(count)
      lost += count - found
      foreign += seen.count - found
    }
    return { lost, duplicated: this.#duplicated, reordered: this.#reordered, foreign, altered: this.#altered }
  }
}
