import type { Clock } from '../clock.ts'
import type { BrokerError } from '../errors.ts'
import type { Limits, QueueWindow } from '../limits.ts'
import type { Message } from '../message.ts'
import type { MessageStore, WriteBatch } from '../store/store.ts'
import type { Turn } from '../turn.ts'
import type { Deadlines } from './deadlines.ts'
import type { QueuedDelivery } from './delivery.ts'
import type { Memory } from './flow.ts'
import type { States } from './states.ts'

/** Why a message is taken out of the ordinary course. */
export interface Death {
  /** The first level of the queue it goes to. */
  readonly grave: 'DLQ' | 'ExpiryQueue'
  readonly reason: string
}

/** What queues, sessions and the router of one broker share. */
export interface Context {
  readonly clock: Clock
  readonly turn: Turn
  readonly deadlines: Deadlines
  readonly memory: Memory
  readonly limits: Limits
  readonly window: QueueWindow
  readonly states: States
  /** The batch of this turn; asking for it makes sure that a turn will commit it. */
  batch(): WriteBatch
  /** True if the store can read back what it keeps, and keeps it over a crash. */
  readonly isPaging: boolean
  /** Why durable messages are refused at present. */
  readonly storeRefusal: BrokerError | undefined
  /** Counts the message as held in memory until the batch of this turn is on disk. */
  untilCommitted(message: Message): void
  /** Calls back once the batch of this turn, or what is under way if that is empty, is on disk. */
  afterCommit(callback: () => void): void
  /** Entries that the store keeps, read back in order. */
  read(...range: Parameters<MessageStore['read']>): ReturnType<MessageStore['read']>
  /** What the store keeps cannot be read: the broker stops. */
  readonly readFailed: (error: unknown) => void
  /** Told of every message that a destination takes in; undefined: nobody wants to know. */
  readonly received: ((message: Message) => void) | undefined
  /** Moves a delivery that its queue has given up to the queue of the dead. */
  bury(delivery: QueuedDelivery, death: Death): void
}
