import type { BrokerError } from '../../src/errors.ts'
import { Message } from '../../src/message.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import type { CommitDone, MessageStore, WriteBatch } from '../../src/store/store.ts'

interface WatchedBatch {
  readonly batch: WriteBatch
  readonly inner: WriteBatch
  readonly messages: Message[]
}

interface HeldCommit {
  readonly watched: WatchedBatch
  readonly done: CommitDone
}

/** A store whose commits wait, while `isHeld`, until the test lets them go; and that can be told to fail. */
export class HeldStore implements MessageStore {
  readonly inner: MessageStore
  isHeld: boolean
  /** Every commit from now on is answered with it. */
  failure: BrokerError | undefined
  /** What commits that are done have put. */
  readonly safe: Set<Message>
  readonly isPaging: boolean
  readonly #batches: Map<WriteBatch, WatchedBatch>
  readonly #held: HeldCommit[]
  #isClosed: boolean

  /** `isPaging`: has the broker believe that it need not keep in memory what is committed. */
  constructor(inner: MessageStore = new MemoryStore(), isPaging = inner.isPaging) {
    this.inner = inner
    this.isHeld = false
    this.failure = undefined
    this.safe = new Set()
    this.isPaging = isPaging
    this.#batches = new Map()
    this.#held = []
    this.#isClosed = false
  }

  /** Commits that wait. */
  get heldCount(): number {
    return this.#held.length
  }

  /** Passes on the oldest of the commits that wait; all of them unless told how many. */
  letGo(count = Number.POSITIVE_INFINITY): void {
    for (let left = count; left > 0 && this.#held.length > 0; left -= 1) this.#pass(this.#held.shift() as HeldCommit)
  }

  open(...given: Parameters<MessageStore['open']>): ReturnType<MessageStore['open']> {
    this.#isClosed = false
    return this.inner.open(...given)
  }

  get refusal(): BrokerError | undefined {
    return this.inner.refusal
  }

  get states(): ReadonlyMap<string, Uint8Array> {
    return this.inner.states
  }

  batch(): WriteBatch {
    const made = watched(this.inner.batch())
    this.#batches.set(made.batch, made)
    return made.batch
  }

  commit(batch: WriteBatch, done: CommitDone): void {
    const found = this.#batches.get(batch)
    if (found === undefined) throw new Error('a batch of another store, or committed before')
    if (this.#isClosed) throw new Error('the store is closed')
    this.#batches.delete(batch)
    this.#held.push({ watched: found, done })
    if (!this.isHeld) this.letGo()
  }

  poll(): void {
    this.inner.poll()
  }

  read(...given: Parameters<MessageStore['read']>): ReturnType<MessageStore['read']> {
    return this.inner.read(...given)
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.inner.close()
  }

  #pass({ watched: { inner, messages }, done }: HeldCommit): void {
    const { failure } = this
    if (failure !== undefined) {
      queueMicrotask(() => done(failure))
      return
    }
    this.inner.commit(inner, (error) => {
      if (error === undefined) for (const message of messages) this.safe.add(message)
      done(error)
    })
  }
}

/** Passes everything on, and remembers the messages that were put. */
function watched(inner: WriteBatch): WatchedBatch {
  const messages: Message[] = []
  const batch = new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        for (const argument of given) if (argument instanceof Message) messages.push(argument)
        return Reflect.apply(value, target, given)
      }
    },
  })
  return { batch, inner, messages }
}
