/** A map that mostly has one entry: it makes a table for the second. Keeps the order of insertion, as a Map does. */
export class SmallMap<K, V> {
  #key: K | undefined
  #value: V | undefined
  #size: number
  /** All entries, from the second on. */
  #table: Map<K, V> | undefined

  constructor() {
    this.#key = undefined
    this.#value = undefined
    this.#size = 0
    this.#table = undefined
  }

  get size(): number {
    return this.#table?.size ?? this.#size
  }

  has(key: K): boolean {
    return this.#table?.has(key) ?? (this.#size === 1 && this.#key === key)
  }

  get(key: K): V | undefined {
    if (this.#table !== undefined) return this.#table.get(key)
    return this.#size === 1 && this.#key === key ? this.#value : undefined
  }

  set(key: K, value: V): void {
    if (this.#table !== undefined) this.#table.set(key, value)
    else if (this.#size === 0 || this.#key === key) this.#keep(key, value)
    else {
      this.#table = new Map([[this.#key as K, this.#value as V]])
      this.#table.set(key, value)
      this.#forget()
    }
  }

  /** True if it was there. */
  delete(key: K): boolean {
    if (this.#table !== undefined) {
      const wasThere = this.#table.delete(key)
      if (this.#table.size === 0) this.#table = undefined
      return wasThere
    }
    const wasThere = this.has(key)
    if (wasThere) this.#forget()
    return wasThere
  }

  clear(): void {
    this.#table = undefined
    this.#forget()
  }

  /** In the order of insertion. */
  values(): Iterable<V> {
    if (this.#table !== undefined) return this.#table.values()
    return this.#size === 1 ? [this.#value as V] : []
  }

  #keep(key: K, value: V): void {
    this.#key = key
    this.#value = value
    this.#size = 1
  }

  #forget(): void {
    this.#key = undefined
    this.#value = undefined
    this.#size = 0
  }
}
