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

/** Has links, and gives one up when it is attached anew elsewhere. */
export interface LinkHolder {
  /** What all links of one connection have in common. */
  readonly connection: object
  /** `key`: role and name. */
  steal(key: string): void
}

/** Who has which link: a name is one link between two containers, whatever session or connection it is attached over. */
export class LinkNames {
  readonly #holders: Map<string, LinkHolder>

  constructor() {
    this.#holders = new Map()
  }

  /**
   * `name`: user, container, role and link. Whoever had it loses it first; over another connection only if this one goes on with what
   * that has.
   */
  claim(name: string, key: string, holder: LinkHolder, isContinuation: boolean): void {
    const before = this.#holders.get(name)
    if (before !== undefined && (isContinuation || before.connection === holder.connection)) before.steal(key)
    this.#holders.set(name, holder)
  }

  /** Nothing if another has claimed it since. */
  release(name: string, holder: LinkHolder): void {
    if (this.#holders.get(name) === holder) this.#holders.delete(name)
  }
}
