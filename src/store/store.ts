import type { BrokerError } from '../errors.ts'
import { stateBytesMax, stateKeyBytesMax } from '../limits.ts'
import type { ContentFormat, Message } from '../message.ts'

/** A queue, a durable subscription, or the retained messages, as the store knows them. */
export type OwnerId = number

/** What the core wants to find again when it opens the store: plain settings, meaning nothing to the store. */
export interface OwnerSpec {
  readonly kind: 'queue' | 'subscription' | 'retained'
  /** Unique per kind. */
  readonly name: string
  readonly settings: Readonly<Record<string, string | boolean>>
}

export interface OwnerRecord {
  readonly id: OwnerId
  readonly spec: OwnerSpec
  /** Entries it holds, for each priority from 0 to 9, and their bytes. */
  readonly counts: readonly number[]
  readonly bytes: number
  /** Highest sequence it ever held. */
  readonly lastSequence: number
}

export interface StoredEntry {
  readonly sequence: number
  readonly message: Message
  /** Failed deliveries so far. */
  readonly deliveryCount: number
  /** True if a consumer may have seen it before the store was opened. */
  readonly redelivered: boolean
  /** Not to be delivered before, milliseconds since the epoch; 0: at once. What is below 0 means something to the core only. */
  readonly notBefore: number
}

/** Changes that become durable together or not at all. Filled synchronously, without input or output. */
export interface WriteBatch {
  readonly isEmpty: boolean
  /** Roughly what there is to write. */
  readonly bytes: number
  define(spec: OwnerSpec): OwnerId
  /** Forgets the owner and all its entries. */
  remove(owner: OwnerId): void
  /** Adds an entry. Consecutive puts of the same message object and time share one stored body. Sequences grow per owner. */
  put(owner: OwnerId, sequence: number, message: Message, notBefore: number): void
  /**
   * An entry leaves. `isFinal`: whatever else becomes of the batch, a consumer has accepted the message, so that an entry
   * not yet written need never be.
   */
  ack(owner: OwnerId, priority: number, sequence: number, isFinal: boolean): void
  /** Every entry of that priority from one sequence to another leaves. */
  clear(owner: OwnerId, priority: number, from: number, upTo: number): void
  /** An entry was delivered in vain, or may have been: from now on it counts as seen. */
  redeliver(owner: OwnerId, priority: number, sequence: number, deliveryCount: number, notBefore: number): void
  /** The entry's message is this one from now on: the same with what a consumer has added to it. Beside a `redeliver` of it. */
  amend(owner: OwnerId, priority: number, sequence: number, message: Message): void
  /** Takes an entry out of one owner and puts it in another under the message's new address and annotations. */
  move(from: OwnerId, priority: number, sequence: number, to: OwnerId, toSequence: number, message: Message): void
  /** Consumers may be given entries up to this sequence once the batch is durable; after a crash they count as seen. */
  horizon(owner: OwnerId, sequence: number): void
  /**
   * Sets the small state of a key, or removes it. The store keeps the bytes themselves: they may not change afterwards, nor be a
   * view of something large. Throws a RangeError past {@link stateBytesMax} and {@link stateKeyBytesMax}.
   */
  state(key: string, value: Uint8Array | undefined): void
}

/** Throws a RangeError for a small state that no store takes. */
export function checkState(key: string, value: Uint8Array | undefined): void {
  if (key.length > stateKeyBytesMax || Buffer.byteLength(key) > stateKeyBytesMax)
    throw new RangeError('the key of a state is too long')
  if (value !== undefined && value.length > stateBytesMax) throw new RangeError(`the state of ${key} is too long`)
}

export type CommitDone = (error?: BrokerError) => void

/** Where durable messages are kept. One per broker. */
export interface MessageStore {
  /** True if messages need not stay in memory once they are committed, but can be read back. */
  readonly isPaging: boolean
  /** Why nothing more is to be stored at present: the disk is nearly full. What is there can still be taken out. */
  readonly refusal: BrokerError | undefined
  /** Reads what is there. `formats` finds the content format of a stored name. Appends are allowed afterwards. */
  open(formats: (name: string) => ContentFormat | undefined): Promise<readonly OwnerRecord[]>
  /** The small state of every key, as the commits that are done have left it. To be looked at after `open`. */
  readonly states: ReadonlyMap<string, Uint8Array>
  /** A new, empty batch. */
  batch(): WriteBatch
  /**
   * Makes the batch durable, in the order of commits, then calls back once, perhaps before it returns: what consumers have accepted
   * for good by then need not become durable.
   */
  commit(batch: WriteBatch, done: CommitDone): void
  /** Calls back now for commits that are done, where the event loop would get to them only later. */
  poll(): void
  /**
   * Up to `count` entries of an owner and priority after a sequence, in the order of sequences; fewer only at the end.
   * `onUnreadable` is told, before the promise resolves, of each that is damaged: it has left the owner, and is not among them.
   */
  read(
    owner: OwnerId,
    priority: number,
    after: number,
    count: number,
    onUnreadable?: (sequence: number) => void,
  ): Promise<readonly StoredEntry[]>
  /** Waits for commits under way. Idempotent. */
  close(): Promise<void>
}
