import type { Clock, Timer } from '../clock.ts'
import { RecordType } from './frame.ts'
import type { JournalBatch } from './journal-batch.ts'
import { patienceMs, restMsMax, restMsMin, sampleMsMax } from './journal-limits.ts'
import type { OwnerId } from './store.ts'

/** What waits to be written. */
export interface Waiting {
  /** When it was committed. */
  readonly since: number
  readonly batch: Pick<JournalBatch, 'changes' | 'openBytes' | 'isPressing'>
}

/** How much a wait that was right makes up for one that was not. */
const rewardFactor = 0.98

/** A message whose acceptance is waited for. */
interface Sample {
  readonly owner: OwnerId
  readonly sequence: number
  readonly since: number
}

/**
 * Whether a batch with much to write may wait a little, because consumers accept messages so soon that they need never be
 * written (storage.md 6.6): while the last one looked at was accepted in time. After a wait in vain nothing waits for a while, and
 * longer the more of them there are.
 */
export class Patience {
  readonly #clock: Clock
  readonly #bytesMin: number
  readonly #wake: () => void
  #sample: Sample | undefined
  /** How long the sample before this one took to be accepted. */
  #lagMs: number
  #restUntil: number
  #restMs: number
  #timer: Timer | undefined

  /** `bytesMin`: less than this is written at once. `wake`: is called when what waits may wait no longer. */
  constructor(clock: Clock, bytesMin: number, wake: () => void) {
    this.#clock = clock
    this.#bytesMin = bytesMin
    this.#wake = wake
    this.#sample = undefined
    this.#lagMs = Number.POSITIVE_INFINITY
    this.#restUntil = 0
    this.#restMs = restMsMin
    this.#timer = undefined
  }

  /** A batch has been committed. */
  watch({ since, batch }: Waiting): void {
    if (batch.openBytes < this.#bytesMin || batch.isPressing) return
    if (this.#sample !== undefined) {
      if (since - this.#sample.since <= sampleMsMax) return
      this.#lagMs = Number.POSITIVE_INFINITY
    }
    const last = batch.changes.findLast(({ type }) => type === RecordType.put)
    if (last !== undefined) this.#sample = { owner: last.owner, sequence: last.sequence, since }
  }

  /** A consumer has accepted messages of an owner from one sequence to another. */
  accepted(owner: OwnerId, from: number, to: number): void {
    const sample = this.#sample
    if (sample === undefined || sample.owner !== owner || sample.sequence < from || sample.sequence > to) return
    this.#sample = undefined
    this.#lagMs = this.#clock.now() - sample.since
  }

  /** What is to be written first may wait; asked again whenever anything has changed. */
  mayWait({ since, batch }: Waiting): boolean {
    if (batch.openBytes < this.#bytesMin || batch.isPressing) return false
    const now = this.#clock.now()
    const isResting = now < this.#restUntil && this.#restUntil - now <= restMsMax
    // Time may have been set back.
    if (isResting || now < since || this.#lagAt(now) >= patienceMs) return false
    const leftMs = since + patienceMs - now
    if (leftMs > 0) {
      this.#arm(leftMs)
      return true
    }
    this.#restUntil = now + this.#restMs
    this.#restMs = Math.min(2 * this.#restMs, restMsMax)
    return false
  }

  /** It was right to wait. */
  reward(): void {
    this.#restMs = Math.max(restMsMin, this.#restMs * rewardFactor)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** How long a message takes to be accepted, as far as is known. */
  #lagAt(now: number): number {
    return this.#sample === undefined ? this.#lagMs : Math.max(this.#lagMs, now - this.#sample.since)
  }

  /** Senders wait for their confirms, and the process must live to send them. */
  #arm(ms: number): void {
    this.#timer ??= this.#clock.after(
      ms,
      () => {
        this.#timer = undefined
        this.#wake()
      },
      true,
    )
  }
}
