/** A binary min-heap by a number that each item carries. */
export class Heap<T> {
  readonly #key: (item: T) => number
  readonly #items: T[]

  constructor(key: (item: T) => number) {
    this.#key = key
    this.#items = []
  }

  get size(): number {
    return this.#items.length
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    const items = this.#items
    const key = this.#key(item)
    let index = items.length
    items.push(item)
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = items[parentIndex] as T
      if (this.#key(parent) <= key) break
      items[index] = parent
      index = parentIndex
    }
    items[index] = item
  }

  pop(): T | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (items.length > 0 && last !== undefined) this.#sink(last)
    return top
  }

  /** Empties the heap; the items in no particular order. */
  takeAll(): T[] {
    return this.#items.splice(0)
  }

  #sink(item: T): void {
    const items = this.#items
    const size = items.length
    const key = this.#key(item)
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= size) break
      if (child + 1 < size && this.#key(items[child + 1] as T) < this.#key(items[child] as T)) child += 1
      const smallest = items[child] as T
      if (key <= this.#key(smallest)) break
      items[index] = smallest
      index = child
    }
    items[index] = item
  }
}
