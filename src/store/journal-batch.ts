import type { Message } from '../message.ts'
import { RecordType } from './frame.ts'
import { checkState, type OwnerId, type OwnerSpec, type WriteBatch } from './store.ts'

/** Roughly what a change takes in a frame besides its content. */
const changeBytes = 120

/** What becomes of the small state of a key. */
export interface StateChange {
  readonly key: string
  /** Undefined: it is removed. */
  readonly value: Uint8Array | undefined
}

export interface EntryName {
  readonly owner: OwnerId
  readonly sequence: number
}

/** One change of a batch. */
export interface Change {
  readonly type: RecordType
  readonly owner: OwnerId
  readonly priority: number
  readonly sequence: number
  readonly message: Message | undefined
  /** Not before (put, redeliver), or the last sequence that goes (ack). */
  number: number
  readonly deliveryCount: number
  readonly spec: OwnerSpec | undefined
  readonly state: StateChange | undefined
  /** Need not be written any more: a put accepted while it waited, or the acceptance of such puts. */
  isCancelled: boolean
}

/** Changes of one turn, in order. Acknowledgements of neighbours become one. */
export class JournalBatch implements WriteBatch {
  readonly changes: Change[]
  /** Acknowledgements among the changes by which consumers have accepted messages for good. */
  readonly finals: Change[]
  /** Entries whose message changes. */
  readonly amended: EntryName[]
  /** Roughly what they take in a frame. */
  bytes: number
  /** Of puts that have not been cancelled. */
  openBytes: number
  /** True if it holds messages that no consumer gets before they are on disk, or before their time. */
  isPressing: boolean
  readonly #nextOwner: () => OwnerId
  #cancelledCount: number
  /** Lowest and highest sequence of a put, whoever owns it. */
  #firstPut: number
  #lastPut: number
  /** Those of each owner in the order of sequences; made when the first one is cancelled. */
  #puts: Map<OwnerId, Change[]> | undefined

  constructor(nextOwner: () => OwnerId) {
    this.changes = []
    this.finals = []
    this.amended = []
    this.bytes = 0
    this.openBytes = 0
    this.isPressing = false
    this.#nextOwner = nextOwner
    this.#cancelledCount = 0
    this.#firstPut = Number.POSITIVE_INFINITY
    this.#lastPut = 0
    this.#puts = undefined
  }

  get isEmpty(): boolean {
    return this.changes.length === 0
  }

  /** True if nothing of it is to be written, or not any more. */
  get isSpent(): boolean {
    return this.#cancelledCount === this.changes.length
  }

  define(spec: OwnerSpec): OwnerId {
    const owner = this.#nextOwner()
    this.#add(RecordType.define, owner, 0, 0, undefined, 0, 0, spec)
    return owner
  }

  remove(owner: OwnerId): void {
    this.#add(RecordType.remove, owner, 0, 0, undefined, 0, 0, undefined)
  }

  put(owner: OwnerId, sequence: number, message: Message, notBefore: number): void {
    this.bytes += message.content.length
    this.openBytes += message.content.length + changeBytes
    if (sequence < this.#firstPut) this.#firstPut = sequence
    if (sequence > this.#lastPut) this.#lastPut = sequence
    if (notBefore > 0 || message.waitsForStore) this.isPressing = true
    this.#add(RecordType.put, owner, message.priority, sequence, message, notBefore, 0, undefined)
  }

  ack(owner: OwnerId, priority: number, sequence: number, isFinal: boolean): void {
    const last = this.changes.at(-1)
    if (
      last !== undefined &&
      last.type === RecordType.ack &&
      last.owner === owner &&
      last.priority === priority &&
      last.number + 1 === sequence &&
      isFinal === (last === this.finals.at(-1))
    ) {
      last.number = sequence
      return
    }
    const change = this.#add(RecordType.ack, owner, priority, sequence, undefined, sequence, 0, undefined)
    if (isFinal) this.finals.push(change)
  }

  clear(owner: OwnerId, priority: number, from: number, upTo: number): void {
    this.#add(RecordType.ack, owner, priority, from, undefined, upTo, 0, undefined)
  }

  redeliver(owner: OwnerId, priority: number, sequence: number, deliveryCount: number, notBefore: number): void {
    this.#add(RecordType.redeliver, owner, priority, sequence, undefined, notBefore, deliveryCount, undefined)
  }

  move(from: OwnerId, priority: number, sequence: number, to: OwnerId, toSequence: number, message: Message): void {
    this.put(to, toSequence, message, 0)
    this.ack(from, priority, sequence, false)
  }

  horizon(owner: OwnerId, sequence: number): void {
    this.#add(RecordType.horizon, owner, 0, sequence, undefined, 0, 0, undefined)
  }

  state(key: string, value: Uint8Array | undefined): void {
    checkState(key, value)
    this.bytes += key.length + (value?.length ?? 0)
    this.#add(RecordType.state, 0, 0, 0, undefined, 0, 0, undefined, { key, value })
  }

  amend(owner: OwnerId, priority: number, sequence: number, message: Message): void {
    this.amended.push({ owner, sequence })
    this.rewrite(owner, priority, sequence, message, 0)
  }

  /** The message of an entry that is there is to lie here from now on. */
  rewrite(owner: OwnerId, priority: number, sequence: number, message: Message, notBefore: number): void {
    this.bytes += message.content.length
    this.#add(RecordType.rewrite, owner, priority, sequence, message, notBefore, 0, undefined)
  }

  /** The store was opened anew. */
  epoch(): void {
    this.#add(RecordType.epoch, 0, 0, 0, undefined, 0, 0, undefined)
  }

  /** Cancels a change that is none any more. */
  cancel(change: Change): void {
    change.isCancelled = true
    this.#cancelledCount += 1
  }

  /** Cancels the puts of an owner's sequences from one to another. Returns how many there were. */
  cancelPuts(owner: OwnerId, from: number, to: number): number {
    if (this.openBytes === 0 || to < this.#firstPut || from > this.#lastPut) return 0
    this.#puts ??= this.#putsByOwner()
    const puts = this.#puts.get(owner)
    if (puts === undefined) return 0
    let count = 0
    for (let at = firstFrom(puts, from); at < puts.length; at += 1) {
      const put = puts[at] as Change
      if (put.sequence > to) break
      if (put.isCancelled) continue
      this.cancel(put)
      this.openBytes -= changeBytes + (put.message?.content.length ?? 0)
      count += 1
    }
    return count
  }

  #putsByOwner(): Map<OwnerId, Change[]> {
    const puts = new Map<OwnerId, Change[]>()
    for (const change of this.changes) {
      if (change.type !== RecordType.put) continue
      const ofOwner = puts.get(change.owner)
      if (ofOwner === undefined) puts.set(change.owner, [change])
      else ofOwner.push(change)
    }
    return puts
  }

  #add(
    type: RecordType,
    owner: OwnerId,
    priority: number,
    sequence: number,
    message: Message | undefined,
    number: number,
    deliveryCount: number,
    spec: OwnerSpec | undefined,
    state?: StateChange,
  ): Change {
    this.bytes += changeBytes
    const change = {
      type,
      owner,
      priority,
      sequence,
      message,
      number,
      deliveryCount,
      spec,
      state,
      isCancelled: false,
    }
    this.changes.push(change)
    return change
  }
}

/** The index of the first change whose sequence is not below `sequence`. */
function firstFrom(changes: readonly Change[], sequence: number): number {
  let low = 0
  let high = changes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((changes[middle] as Change).sequence < sequence) low = middle + 1
    else high = middle
  }
  return low
}
