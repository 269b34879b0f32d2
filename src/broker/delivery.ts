import type { Message } from '../message.ts'
import type { Delivery, Transaction } from '../session.ts'
import type { Queue } from './queue.ts'
import type { BrokerSubscription } from './subscription.ts'

/** What the store is told, for want of a time before which it is not to be delivered, of a copy of a retained message. */
export const retainedTime = -1

/** Where a delivery is: waiting in its queue, waiting for its time, at a consumer, or done with. */
export type DeliveryState = 'ready' | 'delayed' | 'unsettled' | 'settled'

/** One message's place in one queue, from the moment it is put there until it is settled. */
export class QueuedDelivery implements Delivery {
  readonly queue: Queue
  /** Another one with the same content once a consumer has added to it. */
  message: Message
  readonly sequence: number
  /** Place in dispatch order; the sequence, but for a delayed message, which joins the end when its time comes. */
  order: number
  deliveryCount: number
  redelivered: boolean
  isRetained: boolean
  /** True if the store holds it. */
  isStored: boolean
  state: DeliveryState
  /** Not to be delivered before, milliseconds since the epoch; while `delayed`. */
  notBefore: number
  /** Who has it; while `unsettled`. */
  subscription: BrokerSubscription | undefined
  /** The open transaction that settles it. */
  transaction: Transaction | undefined
  /** Who may not have it again. */
  refusers: Set<BrokerSubscription> | undefined
  tag: number
  previous: QueuedDelivery | undefined
  next: QueuedDelivery | undefined

  constructor(queue: Queue, message: Message, sequence: number) {
    this.queue = queue
    this.message = message
    this.sequence = sequence
    this.order = sequence
    this.deliveryCount = 0
    this.redelivered = false
    this.isRetained = false
    this.isStored = false
    this.state = 'ready'
    this.notBefore = 0
    this.subscription = undefined
    this.transaction = undefined
    this.refusers = undefined
    this.tag = 0
    this.previous = undefined
    this.next = undefined
  }

  get annotations(): Uint8Array | undefined {
    return this.message.additions
  }

  /** Notes who may not have it again. */
  refuse(by: BrokerSubscription): void {
    this.refusers ??= new Set()
    for (const before of this.refusers) if (before.isEnded) this.refusers.delete(before)
    this.refusers.add(by)
  }
}

/** A message that was handed over at once and is settled with that. */
export class HandedDelivery implements Delivery {
  readonly message: Message
  readonly sequence: number
  readonly deliveryCount: number
  readonly redelivered: boolean
  readonly isRetained: boolean
  readonly annotations: Uint8Array | undefined
  tag: number

  constructor(message: Message, sequence: number) {
    this.message = message
    this.sequence = sequence
    this.deliveryCount = 0
    this.redelivered = false
    this.isRetained = false
    this.annotations = message.additions
    this.tag = 0
  }
}
