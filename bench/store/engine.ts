/** Keeps numbered bodies in order. Numbers count from 0. */
export interface Engine {
  open(): Promise<void>
  /**
   * Bodies numbered from `first` come in at the end and those from `goneFrom` up to, but not including, `goneTo` leave. Resolves
   * when all of it is on disk; until then the bodies stay as they are.
   */
  exchange(first: number, bodies: readonly Buffer[], goneFrom: number, goneTo: number): Promise<void>
  /** Up to `count` of those that are there, from a number on, in their order; fewer only at the end. */
  read(from: number, count: number): Promise<readonly Buffer[]>
  close(): Promise<void>
}

/** Keeps nothing and makes up what it is asked for. */
export class NoEngine implements Engine {
  #end: number
  #gone: number
  readonly #bytes: number

  constructor(bodyBytes: number) {
    this.#end = 0
    this.#gone = 0
    this.#bytes = bodyBytes
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  exchange(first: number, bodies: readonly Buffer[], _goneFrom: number, goneTo: number): Promise<void> {
    this.#end = first + bodies.length
    this.#gone = Math.max(this.#gone, goneTo)
    return new Promise((resolve) => {
      setImmediate(resolve)
    })
  }

  read(from: number, count: number): Promise<readonly Buffer[]> {
    const start = Math.max(from, this.#gone)
    const bodies = Array.from({ length: Math.max(0, Math.min(count, this.#end - start)) }, (_, index) => {
      const body = Buffer.alloc(this.#bytes)
      body.writeDoubleLE(start + index)
      return body
    })
    return Promise.resolve(bodies)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
