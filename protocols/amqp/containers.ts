/** What is open under one container id. */
interface Container {
  count: number
  /** One of its connections has asked to be the only one. */
  isSole: boolean
}

/** The connections of one listener by the container ids of their peers. */
export class Containers {
  readonly #open: Map<string, Container>

  constructor() {
    this.#open = new Map()
  }

  /** Notes a connection. False: it, or one that is there, wants to be alone. */
  enter(id: string, isSole: boolean): boolean {
    const others = this.#open.get(id)
    if (others === undefined) {
      this.#open.set(id, { count: 1, isSole })
      return true
    }
    if (isSole || others.isSole) return false
    others.count += 1
    return true
  }

  leave(id: string): void {
    const container = this.#open.get(id)
    if (container === undefined) return
    container.count -= 1
    if (container.count === 0) this.#open.delete(id)
  }
}
