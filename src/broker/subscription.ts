import type { Address } from '../address.ts'
import { BrokerError } from '../errors.ts'
import {
  type Consumer,
  type Delivery,
  type FilterRequest,
  failed,
  type Outcome,
  released,
  type Subscription,
} from '../session.ts'
import type { Coverage } from './coverage.ts'
import type { QueuedDelivery } from './delivery.ts'
import { DeliveryList } from './delivery-list.ts'
import type { Queue } from './queue.ts'
import type { Feed } from './rotation.ts'
import type { BrokerSession } from './session.ts'
import type { BrokerTransaction } from './transaction.ts'

/** What a subscription holds at the router. */
export interface Hold {
  /** The filters that its consumer may change; undefined: it has one filter, or is of queues. */
  readonly coverage?: Coverage | undefined
  /** Puts the retained messages of its topics before all that waits. */
  recall?(): void
  /** Undoes it; called once, after the unsettled deliveries have gone back. */
  end(): void
}

/** At a queue. */
interface Place {
  readonly queue: Queue
  readonly feed: Feed
}

/** One consumer with its credit and the deliveries it has not settled, in the order in which it got them. */
export class BrokerSubscription implements Subscription {
  readonly session: BrokerSession
  readonly presettled: boolean
  /** True if it covers queues that are yet to be made. */
  readonly isPattern: boolean
  readonly #consumer: Consumer
  readonly #unsettled: DeliveryList
  #places: Place[]
  /** Undefined: nothing but its places at queues. */
  hold: Hold | undefined
  isEnded: boolean
  #credit: number
  #onDrained: ((creditLeft: number) => void) | undefined

  constructor(session: BrokerSession, consumer: Consumer, how: { presettled: boolean; isPattern: boolean }) {
    this.session = session
    this.presettled = how.presettled
    this.isPattern = how.isPattern
    this.#consumer = consumer
    this.#unsettled = new DeliveryList()
    this.#places = []
    this.hold = undefined
    this.isEnded = false
    this.#credit = 0
    this.#onDrained = undefined
  }

  get credit(): number {
    return this.#credit
  }

  get unsettledCount(): number {
    return this.#unsettled.count
  }

  /** True if a queue may hand it a message now. */
  get isReady(): boolean {
    return this.#credit > 0 && !this.session.isSuspended && !this.isEnded
  }

  /** Takes its place at a queue. */
  join(queue: Queue, feed: Feed): void {
    // Most have one: an array that grows begins with room for many.
    if (this.#places.length === 0) this.#places = [{ queue, feed }]
    else this.#places.push({ queue, feed })
  }

  /** Gives up its place at one queue, which is being deleted. True if it has nothing more to wait for. */
  leave(queue: Queue): boolean {
    const index = this.#places.findIndex((place) => place.queue === queue)
    if (index >= 0) this.#places.splice(index, 1)
    this.drained()
    return this.#places.length === 0 && !this.isPattern
  }

  addCredit(messages: number): void {
    if (this.isEnded) return
    const wasReady = this.isReady
    this.#credit = Math.max(0, this.#credit + messages)
    if (!wasReady) this.offer()
  }

  drain(done: ((creditLeft: number) => void) | undefined): void {
    if (this.isEnded) return
    this.#onDrained = done
    for (const { queue, feed } of this.#places) {
      feed.isDraining = done !== undefined && this.#credit > 0
      if (feed.isDraining) queue.drain()
    }
    this.drained()
  }

  /** Nothing more waits at one of its queues: if that was the last of them, the rest of the credit goes. */
  drained(): void {
    const done = this.#onDrained
    if (done === undefined || this.#places.some(({ feed }) => feed.isDraining)) return
    const creditLeft = this.#credit
    this.#onDrained = undefined
    this.#credit = 0
    done(creditLeft)
  }

  recall(): void {
    if (!this.isEnded) this.hold?.recall?.()
  }

  /** Lines up again at its queues, if it can take messages. */
  offer(): void {
    if (this.isReady) for (const { queue, feed } of this.#places) queue.offer(feed)
  }

  /** Hands one delivery to the consumer. Called by a queue whose rotation chose it. */
  take(delivery: QueuedDelivery): void {
    this.#credit -= 1
    if (!this.presettled) {
      delivery.subscription = this
      this.#unsettled.push(delivery)
    }
    this.#consumer.deliver(delivery)
  }

  /** As {@link take}, for a message that went by the queue and is settled with that. */
  hand(delivery: Delivery): void {
    this.#credit -= 1
    this.#consumer.deliver(delivery)
  }

  /** Shows a browser a message that stays where it is. */
  show(delivery: QueuedDelivery): void {
    this.#credit -= 1
    this.#consumer.deliver(delivery)
  }

  settle(delivery: QueuedDelivery, outcome: Outcome, transaction?: BrokerTransaction): void {
    if (delivery.subscription !== this || delivery.transaction !== undefined) return
    if (transaction !== undefined) transaction.settle(delivery, outcome)
    else this.apply(delivery, outcome, true)
  }

  settleThrough(
    delivery: QueuedDelivery,
    outcome: Outcome,
    transaction?: BrokerTransaction,
  ): readonly QueuedDelivery[] {
    const settled: QueuedDelivery[] = []
    if (delivery.subscription !== this) return settled
    let next = this.#unsettled.head
    while (next !== undefined) {
      const after: QueuedDelivery | undefined = next === delivery ? undefined : next.next
      // Settling one may free a sender, and that end the subscription.
      if (next.transaction === undefined && next.subscription === this) {
        this.settle(next, outcome, transaction)
        settled.push(next)
      }
      next = after
    }
    return settled
  }

  /** Settles for good: at once, which is `isFinal`, or when the transaction commits. */
  apply(delivery: QueuedDelivery, outcome: Outcome, isFinal = false): void {
    this.#unsettled.remove(delivery)
    delivery.transaction = undefined
    delivery.queue.settle(delivery, outcome, isFinal)
    if (this.#unsettled.count === 0) this.session.drained()
  }

  cover(request: FilterRequest): BrokerError | undefined {
    const coverage = this.isEnded || request.address.kind === 'queue' ? undefined : this.hold?.coverage
    if (coverage !== undefined) return coverage.coverFor(this.session, request)
    return new BrokerError('invalid-request', `this subscription cannot cover ${request.address} too`)
  }

  uncover(address: Address): void {
    if (!this.isEnded) this.hold?.coverage?.uncover(address)
  }

  close(): void {
    this.finish('clean')
  }

  /** The broker ends it and says why; a browser that has seen everything ends without an error. */
  end(error?: BrokerError): void {
    if (this.isEnded) return
    this.finish('clean')
    this.#consumer.ended(error)
  }

  /** The transaction that settled the delivery was undone: the consumer has it again, or its queue if that has gone. */
  undo(delivery: QueuedDelivery): void {
    delivery.transaction = undefined
    if (this.isEnded) this.apply(delivery, released)
  }

  /** Gives back what is unsettled, counting it as failed if the connection was `lost`, and leaves its queues. */
  finish(how: 'clean' | 'lost'): void {
    if (this.isEnded) return
    this.isEnded = true
    const outcome = how === 'lost' ? failed : released
    this.#giveBack(outcome)
    const places = this.#places
    this.#places = []
    for (const { queue, feed } of places) queue.detach(feed)
    this.session.forget(this)
    this.hold?.end()
  }

  /** What an open transaction has settled stays until that ends. */
  #giveBack(outcome: Outcome): void {
    let next = this.#unsettled.head
    while (next !== undefined) {
      const after: QueuedDelivery | undefined = next.next
      if (next.transaction === undefined) this.apply(next, outcome)
      next = after
    }
  }
}
