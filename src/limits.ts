import { totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'

/** The broker's own maxima. Each protocol keeps the limits of its frames beside its codec. */
export interface Limits {
  /** Memory for messages, all destinations together; past it producers are blocked. */
  readonly memoryBytesMax: number
  /** Past this multiple of a soft limit (memory, or a destination's own) a send is refused instead of blocked. */
  readonly hardLimitFactor: number
  /** Content of one message. */
  readonly messageBytesMax: number
  readonly connectionsMax: number
  readonly subscriptionsPerSessionMax: number
  readonly temporaryDestinationsPerSessionMax: number
  readonly transactionsPerSessionMax: number
  /** Sends, settlements and states of one transaction. */
  readonly transactionOperationsMax: number
  readonly destinationsMax: number
  readonly retainedMessagesMax: number
  /** States that protocol adapters keep with the broker: sessions, packet ids. */
  readonly statesMax: number
  readonly selectorCharactersMax: number
  /** Unread output of one connection above which nothing more is delivered to it. */
  readonly outputBytesHigh: number
  /** How long a connection may go without reading anything while output waits. */
  readonly stalledMsMax: number
  /** How long `close` waits for sessions to settle. */
  readonly drainMsMax: number
}

/** How much of a queue is in memory as deliveries; the rest is its backlog. */
export interface QueueWindow {
  /** Messages of one priority, and bytes of all, that wait as deliveries; what comes after them is the backlog. */
  readonly messages: number
  readonly bytes: number
  /** Fewer deliveries waiting than this are filled up from the backlog. */
  readonly messagesLow: number
  /**
   * Entries read back from the store at a time. With those that wait as deliveries they should be so few that most are settled
   * before the next collection of young objects, which would have to copy them.
   */
  readonly readCount: number
}

export const defaultQueueWindow: QueueWindow = {
  messages: 16_384,
  bytes: 32 * 1024 * 1024,
  messagesLow: 512,
  readCount: 512,
}

/** The longest value and the longest key, in UTF-8, of a state. */
export const stateBytesMax = 64 * 1024
export const stateKeyBytesMax = 4 * 1024

/** Half the machine or three fifths of the heap, whichever is less. */
function memoryBytesDefault(): number {
  return Math.floor(Math.min(totalmem() * 0.5, getHeapStatistics().heap_size_limit * 0.6))
}

export const defaultLimits: Limits = {
  memoryBytesMax: memoryBytesDefault(),
  hardLimitFactor: 1.25,
  messageBytesMax: 100 * 1024 * 1024,
  connectionsMax: 65_536,
  subscriptionsPerSessionMax: 4_096,
  temporaryDestinationsPerSessionMax: 1_024,
  transactionsPerSessionMax: 256,
  transactionOperationsMax: 100_000,
  destinationsMax: 1_000_000,
  retainedMessagesMax: 1_000_000,
  statesMax: 10_000_000,
  selectorCharactersMax: 16_384,
  outputBytesHigh: 1024 * 1024,
  stalledMsMax: 60_000,
  drainMsMax: 5_000,
}
