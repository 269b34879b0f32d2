import type { Message } from '../message.ts'
import { RecordType } from './frame.ts'
import { checkState, type OwnerId, type OwnerSpec, type WriteBatch } from './store.ts'

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
  /** Taken back before it was written: acknowledged while it waited. */
  isCancelled: boolean
}

/** Changes of one turn, in order. Acknowledgements of neighbours become one. */
export class JournalBatch implements WriteBatch {
  readonly changes: Change[]
  /** Entries that a consumer has accepted for good. */
  readonly finals: EntryName[]
  /** Entries whose message changes. */
  readonly amended: EntryName[]
  /** Roughly what they take in a frame. */
  bytes: number
  readonly #nextOwner: () => OwnerId
  /** Made when the first put is taken back. */
  #puts: Map<OwnerId, Map<number, Change>> | undefined

  constructor(nextOwner: () => OwnerId) {
    this.changes = []
    this.finals = []
    this.amended = []
    this.bytes = 0
    this.#nextOwner = nextOwner
    this.#puts = undefined
  }

  get isEmpty(): boolean {
    return this.changes.length === 0
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
    this.#add(RecordType.put, owner, message.priority, sequence, message, notBefore, 0, undefined)
  }

  ack(owner: OwnerId, priority: number, sequence: number, isFinal: boolean): void {
    if (isFinal) this.finals.push({ owner, sequence })
    const last = this.changes.at(-1)
    if (
      last !== undefined &&
      last.type === RecordType.ack &&
      last.owner === owner &&
      last.priority === priority &&
      last.number + 1 === sequence
    ) {
      last.number = sequence
      return
    }
    this.#add(RecordType.ack, owner, priority, sequence, undefined, sequence, 0, undefined)
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

  /** Takes back a put that is not written yet. */
  cancel(owner: OwnerId, sequence: number): void {
    this.#puts ??= this.#indexPuts()
    const put = this.#puts.get(owner)?.get(sequence)
    if (put !== undefined) put.isCancelled = true
  }

  #indexPuts(): Map<OwnerId, Map<number, Change>> {
    const puts = new Map<OwnerId, Map<number, Change>>()
    for (const change of this.changes) {
      if (change.type !== RecordType.put) continue
      const ofOwner = puts.get(change.owner)
      if (ofOwner === undefined) puts.set(change.owner, new Map([[change.sequence, change]]))
      else ofOwner.set(change.sequence, change)
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
  ): void {
    this.bytes += 120
    this.changes.push({
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
    })
  }
}
