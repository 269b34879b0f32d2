import type { Message } from '../message.ts'
import {
  type CommitDone,
  checkState,
  type MessageStore,
  type OwnerId,
  type OwnerRecord,
  type OwnerSpec,
  type StoredEntry,
  type WriteBatch,
} from './store.ts'

interface Held {
  message: Message
  deliveryCount: number
  redelivered: boolean
  notBefore: number
}

interface Owner {
  readonly spec: OwnerSpec
  readonly entries: Map<number, Held>
  lastSequence: number
}

type Change = (owners: Map<OwnerId, Owner>, states: Map<string, Uint8Array>) => void

/**
 * Keeps messages in this process's memory: for brokers that keep nothing, and for tests, where one store serves several brokers
 * in turn as a disk would. What was committed is there after `close` and `open`; it does not outlive the process.
 */
export class MemoryStore implements MessageStore {
  readonly isPaging = false
  readonly refusal = undefined
  readonly states: Map<string, Uint8Array>
  readonly #owners: Map<OwnerId, Owner>
  #lastOwner: OwnerId
  #commitsUnderWay: number
  #onIdle: (() => void)[]

  constructor() {
    this.states = new Map()
    this.#owners = new Map()
    this.#lastOwner = 0
    this.#commitsUnderWay = 0
    this.#onIdle = []
  }

  open(): Promise<readonly OwnerRecord[]> {
    this.#renew()
    const records: OwnerRecord[] = []
    for (const [id, { spec, entries, lastSequence }] of this.#owners) {
      const counts = new Array<number>(10).fill(0)
      let bytes = 0
      for (const { message } of entries.values()) {
        counts[message.priority] = (counts[message.priority] ?? 0) + 1
        bytes += message.size
      }
      records.push({ id, spec, counts, bytes, lastSequence })
    }
    return Promise.resolve(records)
  }

  batch(): WriteBatch {
    return new MemoryBatch(() => {
      this.#lastOwner += 1
      return this.#lastOwner
    })
  }

  commit(batch: WriteBatch, done: CommitDone): void {
    if (!(batch instanceof MemoryBatch)) throw new Error('a batch of another store')
    const changes = batch.take()
    this.#commitsUnderWay += 1
    queueMicrotask(() => {
      for (const change of changes) change(this.#owners, this.states)
      this.#commitsUnderWay -= 1
      done()
      if (this.#commitsUnderWay === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
    })
  }

  poll(): void {}

  read(owner: OwnerId, priority: number, after: number, count: number): Promise<readonly StoredEntry[]> {
    const found: StoredEntry[] = []
    for (const [sequence, held] of this.#owners.get(owner)?.entries ?? []) {
      if (found.length === count) break
      if (sequence > after && held.message.priority === priority) {
        found.push({ sequence, ...held })
      }
    }
    return Promise.resolve(found)
  }

  close(): Promise<void> {
    if (this.#commitsUnderWay === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle.push(resolve)
    })
  }

  /** Gives the next broker messages of its own, as a disk would: what an earlier one has noted in them is not for it. */
  #renew(): void {
    const copies = new Map<Message, Message>()
    for (const { entries } of this.#owners.values()) {
      for (const held of entries.values()) {
        const copy = copies.get(held.message) ?? held.message.with({})
        copies.set(held.message, copy)
        held.message = copy
      }
    }
  }
}

class MemoryBatch implements WriteBatch {
  readonly bytes = 0
  readonly #nextOwner: () => OwnerId
  #changes: Change[]

  constructor(nextOwner: () => OwnerId) {
    this.#nextOwner = nextOwner
    this.#changes = []
  }

  get isEmpty(): boolean {
    return this.#changes.length === 0
  }

  take(): readonly Change[] {
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  define(spec: OwnerSpec): OwnerId {
    const id = this.#nextOwner()
    this.#changes.push((owners) => owners.set(id, { spec, entries: new Map(), lastSequence: 0 }))
    return id
  }

  remove(owner: OwnerId): void {
    this.#changes.push((owners) => owners.delete(owner))
  }

  put(owner: OwnerId, sequence: number, message: Message, notBefore: number): void {
    this.#changes.push((owners) =>
      insert(owners, owner, sequence, { message, deliveryCount: 0, redelivered: false, notBefore }),
    )
  }

  ack(owner: OwnerId, _priority: number, sequence: number): void {
    this.#changes.push((owners) => owners.get(owner)?.entries.delete(sequence))
  }

  clear(owner: OwnerId, priority: number, from: number, upTo: number): void {
    this.#changes.push((owners) => {
      const entries = owners.get(owner)?.entries
      if (entries === undefined) return
      for (const [sequence, { message }] of entries) {
        if (sequence >= from && sequence <= upTo && message.priority === priority) entries.delete(sequence)
      }
    })
  }

  horizon(): void {
    // What is in memory does not outlive a crash.
  }

  state(key: string, value: Uint8Array | undefined): void {
    checkState(key, value)
    this.#changes.push((_, states) => {
      if (value === undefined) states.delete(key)
      else states.set(key, value)
    })
  }

  redeliver(owner: OwnerId, _priority: number, sequence: number, deliveryCount: number, notBefore: number): void {
    this.#changes.push((owners) => {
      const held = owners.get(owner)?.entries.get(sequence)
      if (held === undefined) return
      held.deliveryCount = deliveryCount
      held.redelivered = true
      held.notBefore = notBefore
    })
  }

  amend(owner: OwnerId, _priority: number, sequence: number, message: Message): void {
    this.#changes.push((owners) => {
      const held = owners.get(owner)?.entries.get(sequence)
      if (held !== undefined) held.message = message
    })
  }

  move(from: OwnerId, _priority: number, sequence: number, to: OwnerId, toSequence: number, message: Message): void {
    this.#changes.push((owners) => {
      owners.get(from)?.entries.delete(sequence)
      insert(owners, to, toSequence, { message, deliveryCount: 0, redelivered: false, notBefore: 0 })
    })
  }
}

function insert(owners: Map<OwnerId, Owner>, id: OwnerId, sequence: number, held: Held): void {
  const owner = owners.get(id)
  if (owner === undefined) return
  owner.entries.set(sequence, held)
  owner.lastSequence = Math.max(owner.lastSequence, sequence)
}
