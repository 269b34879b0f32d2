/** A first-in first-out queue in a circular array that doubles when full: no shifting, no holes. */
export class Ring<T> {
  #slots: (T | undefined)[]
  #head: number
  #length: number

  constructor() {
    this.#slots = [undefined]
    this.#head = 0
    this.#length = 0
  }

  get length(): number {
    return this.#length
  }

  get first(): T | undefined {
    return this.#slots[this.#head]
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow()
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item
    this.#length += 1
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#slots.length - 1)
    this.#length -= 1
    return item
  }

  /** Yields the items in order. */
  *[Symbol.iterator](): Generator<T, void> {
    for (let index = 0; index < this.#length; index += 1)
      yield this.#slots[(this.#head + index) & (this.#slots.length - 1)] as T
  }

  /** Removes one item wherever it stands. Says whether it was there. */
  remove(item: T): boolean {
    const count = this.#length
    let found = false
    for (let index = 0; index < count; index += 1) {
      const next = this.shift() as T
      if (!found && next === item) found = true
      else this.push(next)
    }
    return found
  }

  #grow(): void {
    const slots = new Array<T | undefined>(this.#slots.length * 2).fill(undefined)
    for (let index = 0; index < this.#length; index += 1) {
      slots[index] = this.#slots[(this.#head + index) & (this.#slots.length - 1)]
    }
    this.#slots = slots
    this.#head = 0
  }
}
