import type { Engine } from './engine.ts'

/** Read at a time, and how many are kept ready at least: while they are taken the next ones are on their way. */
const readBodies = 4096

/** Takes bodies out of an engine in their order and reads ahead, as a broker does that serves a backlog. */
export class ReadAhead {
  readonly #engine: Engine
  #ready: Buffer[]
  #next: number
  #reading: Promise<void> | undefined
  #last: Promise<unknown>

  constructor(engine: Engine) {
    this.#engine = engine
    this.#ready = []
    this.#next = 0
    this.#reading = undefined
    this.#last = Promise.resolve()
  }

  /** The next `count` bodies; whoever calls first gets those that come first. Fewer only at the end of what is there. */
  take(count: number): Promise<readonly Buffer[]> {
    const taken = this.#last.then(() => this.#take(count))
    this.#last = taken
    return taken
  }

  /** Resolves when nothing is being read any more. */
  async idle(): Promise<void> {
    await this.#reading
  }

  async #take(count: number): Promise<readonly Buffer[]> {
    while (this.#ready.length < count) {
      const before = this.#next
      await this.#read()
      if (this.#next === before) break
    }
    const bodies = this.#ready.slice(0, count)
    this.#ready = this.#ready.slice(count)
    if (this.#ready.length < readBodies) void this.#read()
    return bodies
  }

  #read(): Promise<void> {
    this.#reading ??= this.#engine.read(this.#next, readBodies).then((bodies) => {
      for (const body of bodies) this.#ready.push(body)
      this.#next += bodies.length
      this.#reading = undefined
    })
    return this.#reading
  }
}
