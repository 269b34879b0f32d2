import type { BrokerError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { MessageStore, WriteBatch } from '../store/store.ts'
import type { Committable, Turn } from '../turn.ts'
import type { Memory } from './flow.ts'

/** A batch this long is committed before more input is read. */
const batchBytesMax = 256 * 1024

/** A session that waits to hear how far its requests are safe. */
export interface Confirmable {
  /** True while it is on the list for the end of this turn; written by {@link Commits} only. */
  isTouched: boolean
  /** True if something it asked for in this turn must be on disk before it is confirmed. */
  readonly needsCommit: boolean
  /** Everything asked so far is safe, unless an earlier commit is still awaited. Tells nobody yet. */
  settleNow(): void
  /** Everything asked so far will be safe after that commit. */
  await(commit: number): void
  /** That commit is done: confirms what it made safe. */
  committed(commit: number): void
  /** Confirms what is safe. */
  confirm(): void
}

/** The batch of one turn with all that waits for it. */
interface Commit {
  /** Counted from 1. */
  readonly number: number
  readonly batch: WriteBatch
  readonly waiting: readonly Confirmable[]
  readonly after: readonly (() => void)[]
  readonly held: readonly Message[]
}

/** Collects the changes of a turn into one batch, commits it, and tells sessions when what they asked for is safe. */
export class Commits implements Committable {
  readonly #store: MessageStore
  readonly #turn: Turn
  readonly #memory: Memory
  readonly #onFailure: (error: BrokerError) => void
  #batch: WriteBatch
  #touched: Confirmable[]
  #lastCommit: number
  #doneCommit: number
  /** Who waits for the newest commit under way. */
  #waiting: Confirmable[]
  /** Who is called once the batch of this turn is safe. */
  #after: (() => void)[]
  /** Messages that only this turn's batch still holds. */
  #held: Message[]
  #isOver: boolean
  #onIdle: (() => void)[]

  constructor(store: MessageStore, turn: Turn, memory: Memory, onFailure: (error: BrokerError) => void) {
    this.#store = store
    this.#turn = turn
    this.#memory = memory
    this.#onFailure = onFailure
    this.#batch = store.batch()
    this.#touched = []
    this.#lastCommit = 0
    this.#doneCommit = 0
    this.#waiting = []
    this.#after = []
    this.#held = []
    this.#isOver = false
    this.#onIdle = []
  }

  get isFull(): boolean {
    return this.#batch.bytes >= batchBytesMax
  }

  poll(): void {
    if (this.#doneCommit < this.#lastCommit) this.#store.poll()
  }

  /** The batch of this turn. */
  get batch(): WriteBatch {
    this.#turn.mark()
    return this.#batch
  }

  /** Counts the message as held in memory until the batch of this turn is on disk. */
  hold(message: Message): void {
    this.#memory.hold(message)
    this.#held.push(message)
  }

  /** Calls back once the batch of this turn is safe. */
  after(callback: () => void): void {
    this.#after.push(callback)
    this.#turn.mark()
  }

  /** Has the session answered at the end of this turn. */
  touch(session: Confirmable): void {
    if (session.isTouched) return
    session.isTouched = true
    this.#touched.push(session)
    this.#turn.mark()
  }

  /** Resolves once nothing is left to commit or to answer, or the store has failed. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle.push(resolve)
      this.#turn.mark()
    })
  }

  /** True if the store is given nothing any more: it has failed, or is closed. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The store is about to be closed: nothing is given to it any more. */
  close(): void {
    this.#isOver = true
  }

  commit(): void {
    if (this.#isOver) this.#drop()
    else {
      const commit = this.#batch.isEmpty && this.#after.length === 0 ? undefined : this.#next()
      this.#answer()
      if (commit !== undefined) this.#start(commit)
    }
    this.#rest()
  }

  get #isIdle(): boolean {
    if (this.#isOver) return true
    return (
      this.#batch.isEmpty &&
      this.#after.length === 0 &&
      this.#touched.length === 0 &&
      this.#doneCommit === this.#lastCommit
    )
  }

  /** The batch of this turn becomes a commit, which is under way from now on; what follows is in the next. */
  #next(): Commit {
    this.#lastCommit += 1
    const waiting: Confirmable[] = []
    const commit = {
      number: this.#lastCommit,
      batch: this.#batch,
      waiting,
      after: this.#after,
      held: this.#held,
    }
    this.#batch = this.#store.batch()
    this.#waiting = waiting
    this.#after = []
    this.#held = []
    return commit
  }

  /** The store may say at once that this commit is safe, and earlier ones before it. */
  #start({ number, batch, waiting, after, held }: Commit): void {
    this.#store.commit(batch, (error) => {
      if (error !== undefined) this.#fail(error)
      else if (!this.#isOver) {
        this.#doneCommit = number
        for (const session of waiting) session.committed(number)
        for (const message of held) this.#memory.release(message)
        for (const callback of after) callback()
      }
      this.#rest()
    })
  }

  /**
   * Notes for every session that asked for something what it waits for, and only then tells them: from inside the telling
   * they may ask for more, which is in the next batch.
   */
  #answer(): void {
    const touched = this.#touched
    if (touched.length === 0) return
    this.#touched = []
    const isUnderWay = this.#doneCommit < this.#lastCommit
    for (const session of touched) {
      session.isTouched = false
      if (isUnderWay && session.needsCommit) {
        session.await(this.#lastCommit)
        this.#waiting.push(session)
      } else session.settleNow()
    }
    for (const session of touched) session.confirm()
  }

  /** Nothing can be kept any more: says so once, and confirms nothing from now on. */
  #fail(error: BrokerError): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onFailure(error)
  }

  #drop(): void {
    this.#batch = this.#store.batch()
    for (const session of this.#touched.splice(0)) session.isTouched = false
  }

  #rest(): void {
    if (this.#onIdle.length > 0 && this.#isIdle) for (const resolve of this.#onIdle.splice(0)) resolve()
  }
}
