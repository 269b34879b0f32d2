import type { Clock } from '../clock.ts'
import type { Limits } from '../limits.ts'
import type { WriteBatch } from '../store/store.ts'
import type { Turn } from '../turn.ts'
import type { Deadlines } from './deadlines.ts'
import type { QueuedDelivery } from './delivery.ts'
import type { Memory } from './flow.ts'

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
  /** The batch of this turn; asking for it makes sure that a turn will commit it. */
  batch(): WriteBatch
  /** Moves a delivery that its queue has given up to the queue of the dead. */
  bury(delivery: QueuedDelivery, death: Death): void
}
