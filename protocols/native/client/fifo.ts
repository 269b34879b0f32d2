/** An empty front at least this long is cut off. */
const cutWhen = 512

/** What came first goes first. */
export class Fifo<T> {
  #items: T[]
  #front: number

  constructor() {
    this.#items = []
    this.#front = 0
  }

  get length(): number {
    return this.#items.length - this.#front
  }

  push(item: T): void {
    this.#items.push(item)
  }

  /** Undefined behind the last one. */
  at(index: number): T | undefined {
    return this.#items[this.#front + index]
  }

  shift(): T | undefined {
    const items = this.#items
    const item = items[this.#front]
    if (item === undefined) return undefined
    this.#front += 1
    if (this.#front === items.length) {
      items.length = 0
      this.#front = 0
    } else if (this.#front >= cutWhen && this.#front * 2 > items.length) {
      this.#items = items.slice(this.#front)
      this.#front = 0
    }
    return item
  }

  /** -1: it is not there. */
  indexOf(item: T): number {
    return Math.max(this.#items.indexOf(item, this.#front) - this.#front, -1)
  }

  remove(index: number): void {
    this.#items.splice(this.#front + index, 1)
  }

  /** Takes everything out. */
  clear(): T[] {
    const rest = this.#items.slice(this.#front)
    this.#items = []
    this.#front = 0
    return rest
  }
}
