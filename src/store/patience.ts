import type { Clock, Timer } from '../clock.ts'
import { RecordType } from './frame.ts'
import type { JournalBatch } from './journal-batch.ts'
import { restMsMax, restMsMin, sampleMsMax, sampleRestMs } from './journal-limits.ts'
import type { CommitDone, OwnerId } from './store.ts'

/** What waits to be written. */
export interface Waiting {
  readonly batch: JournalBatch
  /** When it was committed. */
  readonly since: number
  /** It has been kept back. */
  hasWaited: boolean
}

/** How much a wait that was right makes up for one that was not. */
const rewardFactor = 0.98

/** A batch that is looked at, whether it waits or is written. */
interface Sample {
  readonly since: number
  /** Sequences of its messages by owner; not the batch, for that has the messages. */
  readonly sequences: ReadonlyMap<OwnerId, ReadonlySet<number>>
  /** The lowest and the highest of all. */
  readonly first: number
  readonly last: number
  /** How many of them there are at which its open bytes become too few to wait for. */
  readonly openMin: number
  openCount: number
  /** Its senders have been confirmed. */
  isSafe: boolean
}

/**
 * Whether a batch with much to write may wait a little, because consumers accept messages so soon that they need never be
 * written (storage.md 6.6). It may if the last one looked at was accepted in time, and before its senders were confirmed, for some
 * consumers accept only then. After a wait in vain nothing waits for a while, and longer the more of them there are.
 */
export class Patience {
  readonly #clock: Clock
  readonly #bytesMin: number
  readonly #msMax: number
  readonly #wake: () => void
  #sample: Sample | undefined
  /** When the next one is taken at the earliest. */
  #sampleAt: number
  #isPrompt: boolean
  /** When it is tried again although senders were confirmed first. */
  #tryAt: number
  #restUntil: number
  #restMs: number
  #timer: Timer | undefined

  /** `bytesMin`: less than this is written at once. `wake`: is called when what waits may wait no longer. */
  constructor(clock: Clock, bytesMin: number, msMax: number, wake: () => void) {
    this.#clock = clock
    this.#bytesMin = bytesMin
    this.#msMax = msMax
    this.#wake = wake
    this.#sample = undefined
    this.#sampleAt = 0
    this.#isPrompt = false
    this.#tryAt = 0
    this.#restUntil = 0
    this.#restMs = restMsMin
    this.#timer = undefined
  }

  /** A batch is committed. Returns what is to be called instead of `done`. */
  watch(batch: JournalBatch, done: CommitDone): CommitDone {
    if (this.#goesAtOnce(batch)) return done
    const now = this.#clock.now()
    if (now < this.#sampleAt) return done
    if (this.#sample !== undefined) this.#isPrompt = false
    this.#sampleAt = now + sampleMsMax
    const sample = sampleOf(batch, now, this.#bytesMin)
    this.#sample = sample
    return (error) => {
      sample.isSafe = true
      done(error)
    }
  }

  /** A consumer has accepted messages of an owner from one sequence to another. */
  accepted(owner: OwnerId, from: number, to: number): void {
    const sample = this.#sample
    if (sample === undefined || to < sample.first || from > sample.last) return
    const sequences = sample.sequences.get(owner)
    if (sequences === undefined) return
    const end = Math.min(to, sample.last)
    for (let sequence = Math.max(from, sample.first); sequence <= end; sequence += 1)
      if (sequences.has(sequence)) sample.openCount -= 1
    if (sample.openCount > sample.openMin) return
    this.#sample = undefined
    const now = this.#clock.now()
    this.#sampleAt = now + sampleRestMs
    this.#isPrompt = now - sample.since < this.#msMax && (!sample.isSafe || now >= this.#tryAt)
    if (this.#isPrompt && sample.isSafe) this.#tryAt = now + restMsMax
  }

  /** The batch that is to be written first may wait; to be asked again whenever anything has changed. */
  mayWait(waiting: Waiting): boolean {
    const { batch, since } = waiting
    if (this.#goesAtOnce(batch)) return false
    const now = this.#clock.now()
    const leftMs = since + this.#msMax - now
    // Time may have been set back.
    if (leftMs > 0 && leftMs <= this.#msMax) {
      if (!this.#isPrompt || now < this.#restUntil || this.#isOverdue(now)) return false
      waiting.hasWaited = true
      this.#arm(leftMs)
      return true
    }
    if (waiting.hasWaited) {
      this.#isPrompt = false
      this.#restUntil = now + this.#restMs
      this.#restMs = Math.min(2 * this.#restMs, restMsMax)
    }
    return false
  }

  /** All of the batch was accepted before it was written. */
  spent({ hasWaited }: Waiting): void {
    if (hasWaited) this.#restMs = Math.max(restMsMin, this.#restMs * rewardFactor)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** There is little to write, or consumers get it only once it is written. */
  #goesAtOnce({ openBytes, isPressing }: JournalBatch): boolean {
    return openBytes < this.#bytesMin || isPressing
  }

  /** The sample has taken longer than anything may wait. */
  #isOverdue(now: number): boolean {
    return this.#sample !== undefined && now - this.#sample.since >= this.#msMax
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

function sampleOf(batch: JournalBatch, since: number, bytesMin: number): Sample {
  const sequences = new Map<OwnerId, Set<number>>()
  let first = Number.POSITIVE_INFINITY
  let last = 0
  let openCount = 0
  for (const { type, owner, sequence } of batch.changes) {
    if (type !== RecordType.put) continue
    const ofOwner = sequences.get(owner)
    if (ofOwner === undefined) sequences.set(owner, new Set([sequence]))
    else ofOwner.add(sequence)
    first = Math.min(first, sequence)
    last = Math.max(last, sequence)
    openCount += 1
  }
  const openMin = Math.floor((bytesMin / batch.openBytes) * openCount)
  return { since, sequences, first, last, openMin, openCount, isSafe: false }
}
