import type { Welcome } from './peer.ts'

/** What happens to the connection. */
export type Status =
  | { readonly type: 'connected' | 'resumed'; readonly broker: string; readonly connectionId: string }
  | { readonly type: 'interrupted'; readonly error: Error }
  | { readonly type: 'reconnecting'; readonly attempt: number; readonly delayMs: number; readonly url: string }
  | { readonly type: 'error'; readonly error: Error }
  | { readonly type: 'closed'; readonly error: Error | undefined }

type Listener<Type extends Status['type']> = (status: Extract<Status, { readonly type: Type }>) => void

/** Statuses that an iterator keeps for somebody who does not look; the oldest go first. */
const keptMax = 64

/** Tells whoever listens, and whoever loops. */
export class Notices {
  readonly #listeners: Set<(status: Status) => void>

  constructor() {
    this.#listeners = new Set()
  }

  on<Type extends Status['type']>(type: Type, listener: Listener<Type>): () => void {
    return this.#add((status) => {
      if (status.type === type) listener(status as Parameters<typeof listener>[0])
    })
  }

  tell(status: Status): void {
    for (const listener of [...this.#listeners]) listener(status)
  }

  loop(): AsyncIterableIterator<Status> {
    const loop: StatusLoop = new StatusLoop(() => forget())
    const forget = this.#add((status) => loop.add(status))
    return loop
  }

  #add(listener: (status: Status) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

class StatusLoop implements AsyncIterableIterator<Status> {
  readonly #onOver: () => void
  readonly #kept: Status[]
  #waiting: ((result: IteratorResult<Status, undefined>) => void) | undefined
  #isOver: boolean

  constructor(onOver: () => void) {
    this.#onOver = onOver
    this.#kept = []
    this.#waiting = undefined
    this.#isOver = false
  }

  add(status: Status): void {
    if (status.type === 'closed') this.#isOver = true
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) waiting({ value: status, done: false })
    else if (this.#kept.push(status) > keptMax) this.#kept.shift()
  }

  next(): Promise<IteratorResult<Status, undefined>> {
    const value = this.#kept.shift()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    if (this.#isOver) return this.return()
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  return(): Promise<IteratorResult<Status, undefined>> {
    this.#isOver = true
    this.#onOver()
    this.#waiting?.({ value: undefined, done: true })
    this.#waiting = undefined
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

export function connectedStatus(type: 'connected' | 'resumed', { broker, connectionId }: Welcome): Status {
  return { type, broker, connectionId }
}
