import type { BrokerError, Session } from '../../src/core.ts'
import { Cursor } from './cursor.ts'
import { itemsMax } from './limits.ts'
import { GrowingBytes, writeString, writeVarint } from './writer.ts'

interface Last {
  readonly lastSeq: number
  readonly lastInstance: string
  readonly rejected: number[]
}

/**
 * How far a named producer has come, kept with the broker in the same batch as its messages.
 *
 *     varint last seq   str instance   varint count   varint seq…     the last ones that were refused
 */
export class ProducerState {
  readonly key: string
  lastSeq: number
  /** Who sent the last ones, of those who have used the name. */
  lastInstance: string
  /** Those up to `lastSeq` that were refused, as far back as a client may still have them unanswered. */
  rejected: number[]
  readonly #instance: string
  #isChanged: boolean

  private constructor(key: string, instance: string, last: Last) {
    const { lastSeq, lastInstance, rejected } = last
    this.key = key
    this.lastSeq = lastSeq
    this.lastInstance = lastInstance
    this.rejected = rejected
    this.#instance = instance
    this.#isChanged = false
  }

  /** What is kept of the producer of that name, under that client id; `instance` tells who uses the name from now on. */
  static of(session: Session, name: string, instance: string): ProducerState {
    const key = `mnp/producer/${encodeURIComponent(session.clientId ?? '')}/${name}`
    const kept = session.state(key)
    if (kept === undefined)
      return new ProducerState(key, instance, { lastSeq: 0, lastInstance: instance, rejected: [] })
    const cursor = new Cursor(kept)
    const lastSeq = cursor.varint()
    const lastInstance = cursor.string()
    const rejected: number[] = []
    for (let left = cursor.count(1, itemsMax); left > 0; left -= 1) rejected.push(cursor.varint())
    return new ProducerState(key, instance, { lastSeq, lastInstance, rejected })
  }

  /** The send of that number is with the core. */
  took(seq: number): void {
    if (seq <= this.lastSeq) return
    this.lastSeq = seq
    this.#isChanged = true
  }

  /** The send of that number had no effect; a client has at most `window` sends without an answer. */
  refused(seq: number, window: number): void {
    this.took(seq)
    this.rejected = this.rejected.filter((other) => other > seq - window)
    this.rejected.push(seq)
    this.#isChanged = true
  }

  /** Puts what has changed beside the messages sent since. */
  keep(session: Session): BrokerError | undefined {
    if (!this.#isChanged) return undefined
    this.#isChanged = false
    this.lastInstance = this.#instance
    const bytes = new GrowingBytes(64)
    writeVarint(bytes, this.lastSeq)
    writeString(bytes, this.lastInstance)
    writeVarint(bytes, this.rejected.length)
    for (const seq of this.rejected) writeVarint(bytes, seq)
    return session.putState(this.key, bytes.bytes)
  }
}
