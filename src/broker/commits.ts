import type { BrokerError } from '../errors.ts'
import type { MessageStore, WriteBatch } from '../store/store.ts'
import type { Committable, Turn } from '../turn.ts'

/** A session that waits to hear how far its requests are safe. */
export interface Confirmable {
  /** True while it is on the list for the end of this turn; written by {@link Commits} only. */
  isTouched: boolean
  /** True if something it asked for in this turn must be on disk before it is confirmed. */
  readonly needsCommit: boolean
  /** Everything asked so far is safe, unless an earlier commit is still awaited. */
  settleNow(): void
  /** Everything asked so far will be safe after that commit. */
  await(commit: number): void
  /** That commit is done. */
  committed(commit: number): void
}

/** Collects the changes of a turn into one batch, commits it, and tells sessions when what they asked for is safe. */
export class Commits implements Committable {
  readonly #store: MessageStore
  readonly #turn: Turn
  readonly #onFailure: (error: BrokerError) => void
  #batch: WriteBatch
  #touched: Confirmable[]
  /** Numbers commits from 1. */
  #lastCommit: number
  #doneCommit: number
  /** Who waits for the newest commit under way. */
  #waiting: Confirmable[]
  #onIdle: (() => void)[]

  constructor(store: MessageStore, turn: Turn, onFailure: (error: BrokerError) => void) {
    this.#store = store
    this.#turn = turn
    this.#onFailure = onFailure
    this.#batch = store.batch()
    this.#touched = []
    this.#lastCommit = 0
    this.#doneCommit = 0
    this.#waiting = []
    this.#onIdle = []
  }

  /** The batch of this turn. */
  get batch(): WriteBatch {
    this.#turn.mark()
    return this.#batch
  }

  /** Has the session answered at the end of this turn. */
  touch(session: Confirmable): void {
    if (session.isTouched) return
    session.isTouched = true
    this.#touched.push(session)
    this.#turn.mark()
  }

  /** Resolves once nothing is left to commit. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle.push(resolve)
      this.#turn.mark()
    })
  }

  commit(): void {
    if (!this.#batch.isEmpty) this.#start()
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
  }

  get #isIdle(): boolean {
    return this.#batch.isEmpty && this.#touched.length === 0 && this.#doneCommit === this.#lastCommit
  }

  #start(): void {
    const batch = this.#batch
    this.#batch = this.#store.batch()
    this.#lastCommit += 1
    const commit = this.#lastCommit
    const waiting: Confirmable[] = []
    this.#waiting = waiting
    this.#store.commit(batch, (error) => {
      if (error !== undefined) {
        this.#onFailure(error)
        return
      }
      this.#doneCommit = commit
      for (const session of waiting) session.committed(commit)
      if (this.#isIdle) for (const resolve of this.#onIdle.splice(0)) resolve()
    })
  }
}
