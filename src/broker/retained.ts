import type { Address } from '../address.ts'
import type { Message } from '../message.ts'
import type { OwnerId, OwnerRecord, StoredEntry } from '../store/store.ts'
import type { Context } from './context.ts'
import { Deadline } from './deadlines.ts'
import { Heap } from './heap.ts'
import type { Policy } from './policy.ts'
import { TopicTrie } from './topic-trie.ts'

/** Messages that have been replaced and are remembered until they would have expired, beside as many as there are topics. */
const replacedMax = 1024
/** Messages that are removed in one go when their time is over. */
const expiredAtOnce = 10_000

interface Kept {
  readonly message: Message
  readonly sequence: number
  readonly isStored: boolean
}

/** The last retained message of each topic, for every protocol. */
export class Retained {
  readonly #context: Context
  readonly #kept: Map<string, Kept>
  readonly #names: TopicTrie<string>
  #ownerId: OwnerId | undefined
  #lastSequence: number
  /** Those that expire, some of which have been replaced since. */
  readonly #expiring: Heap<Kept>
  readonly #deadline: Deadline

  constructor(context: Context) {
    this.#context = context
    this.#kept = new Map()
    this.#names = new TopicTrie()
    this.#ownerId = undefined
    this.#lastSequence = 0
    this.#expiring = new Heap<Kept>(({ message }) => message.expiresAt)
    this.#deadline = new Deadline(context.deadlines, this)
  }

  get count(): number {
    return this.#kept.size
  }

  /**
   * Keeps the message instead of the one before, in the store too if `persistent` wants it; an empty body only clears that. True
   * if the store is involved.
   */
  keep(message: Message, persistent: Policy['persistent']): boolean {
    const { name } = message.address
    const before = this.#kept.get(name)
    if (message.bodySize === 0) {
      if (before !== undefined) this.#drop(name, before)
      return before?.isStored ?? false
    }
    if (before === undefined && this.#kept.size >= this.#context.limits.retainedMessagesMax) return false
    if (before === undefined) this.#names.add(message.address.levels, name)
    this.#lastSequence += 1
    const kept = {
      message,
      sequence: this.#lastSequence,
      isStored: persistent === 'always' || (message.durable && persistent !== 'never'),
    }
    this.#kept.set(name, kept)
    this.#noteExpiry(kept)
    this.#context.memory.hold(message)
    if (kept.isStored) this.#context.batch().put(this.#owner(), kept.sequence, message, 0)
    // Last, because it may free a sender who at once sends the next one.
    if (before !== undefined) this.#forget(before)
    return kept.isStored || (before?.isStored ?? false)
  }

  /** The retained messages that a filter covers and that have not expired. */
  matching(filter: Address): Message[] {
    const now = this.#context.clock.now()
    const names = filter.isPattern ? this.#names.coveredBy(filter.levels) : [filter.name]
    const found: Message[] = []
    for (const name of names) {
      const kept = this.#kept.get(name)
      if (kept === undefined) continue
      const { expiresAt } = kept.message
      if (expiresAt > 0 && expiresAt <= now) this.#drop(name, kept)
      else found.push(kept.message)
    }
    return found
  }

  restore(record: OwnerRecord): void {
    this.#ownerId = record.id
    this.#lastSequence = record.lastSequence
  }

  restoreEntry(entry: StoredEntry): void {
    const { message, sequence } = entry
    const kept = { message, sequence, isStored: true }
    this.#kept.set(message.address.name, kept)
    this.#noteExpiry(kept)
    this.#names.add(message.address.levels, message.address.name)
    this.#context.memory.hold(message)
  }

  /** Called by the deadlines: those go whose time is over. */
  due(now: number): void {
    for (let left = expiredAtOnce; left > 0; left -= 1) {
      const next = this.#expiring.peek()
      if (next === undefined || next.message.expiresAt > now) break
      this.#expiring.pop()
      const { name } = next.message.address
      if (this.#kept.get(name) === next) this.#drop(name, next)
    }
    this.#arm()
  }

  #noteExpiry(kept: Kept): void {
    if (kept.message.expiresAt === 0) return
    if (this.#expiring.size >= 2 * this.#kept.size + replacedMax) this.#forgetReplaced()
    this.#expiring.push(kept)
    this.#arm()
  }

  #forgetReplaced(): void {
    for (const kept of this.#expiring.takeAll()) {
      if (this.#kept.get(kept.message.address.name) === kept) this.#expiring.push(kept)
    }
  }

  #arm(): void {
    const next = this.#expiring.peek()
    if (next !== undefined) this.#deadline.set(next.message.expiresAt)
  }

  #drop(name: string, kept: Kept): void {
    this.#kept.delete(name)
    this.#names.remove(kept.message.address.levels, name)
    this.#forget(kept)
  }

  #forget(kept: Kept): void {
    this.#context.memory.release(kept.message)
    if (kept.isStored) this.#context.batch().ack(this.#owner(), kept.message.priority, kept.sequence, false)
  }

  #owner(): OwnerId {
    this.#ownerId ??= this.#context.batch().define({ kind: 'retained', name: '', settings: {} })
    return this.#ownerId
  }
}
