import type { Address } from '../address.ts'
import { BrokerError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { Modified, Outcome } from '../session.ts'
import type { OwnerId, OwnerRecord, OwnerSpec, StoredEntry } from '../store/store.ts'
import type { Dispatchable } from '../turn.ts'
import { Consumers } from './consumers.ts'
import type { Context } from './context.ts'
import { isGrave } from './dead-letter.ts'
import { HandedDelivery, type QueuedDelivery, retainedTime } from './delivery.ts'
import { Gate, lowWater, type Sender } from './flow.ts'
import { type Policy, redeliveryDelay } from './policy.ts'
import { QueueCounters } from './queue-counters.ts'
import type { Feed } from './rotation.ts'
import type { BrokerSubscription } from './subscription.ts'
import { type Visit, Waiting } from './waiting.ts'

export interface QueueOptions {
  /** The queue's address, or the filter of the topic subscription whose messages it holds. */
  readonly address: Address
  readonly policy: Policy
  /** How the store knows it; undefined: its messages are never stored. */
  readonly spec: OwnerSpec | undefined
  /** True if message groups mean something here: several consumers may compete. */
  readonly isShared: boolean
  /** The name of the durable or shared subscription whose messages it holds. */
  readonly subscription: string | undefined
}

/**
 * Messages waiting for consumers: first in first out within each priority, each handed to one consumer with credit. Every
 * kind of subscription is served by one of these.
 */
export class Queue implements Dispatchable {
  readonly address: Address
  readonly policy: Policy
  /** The durable or shared subscription whose messages it holds; undefined for a queue of its own. */
  readonly subscription: string | undefined
  readonly gate: Gate
  readonly counters: QueueCounters
  dispatchMarked: boolean
  isPaused: boolean
  isDeleted: boolean
  /** Sequences of those that do not expire any more, see {@link Broker.keepBegun}. */
  begun: Set<number> | undefined
  readonly #context: Context
  readonly #spec: OwnerSpec | undefined
  readonly #isShared: boolean
  readonly #waiting: Waiting
  readonly #consumers: Consumers
  #ownerId: OwnerId | undefined
  /** True if some of its stored messages may expire. */
  #mayExpire: boolean
  #unsettledCount: number
  #bytes: number
  /** Room kept while a transaction is looked at. */
  #reservedCount: number
  #reservedBytes: number

  constructor(context: Context, options: QueueOptions) {
    this.address = options.address
    this.policy = options.policy
    this.subscription = options.subscription
    this.gate = new Gate()
    this.counters = new QueueCounters()
    this.dispatchMarked = false
    this.isPaused = false
    this.isDeleted = false
    this.begun = undefined
    this.#context = context
    this.#spec = options.spec
    this.#isShared = options.isShared
    this.#waiting = new Waiting(context, this)
    this.#consumers = new Consumers(context, this, this.#waiting)
    this.#ownerId = undefined
    this.#mayExpire = false
    this.#unsettledCount = 0
    this.#bytes = 0
    this.#reservedCount = 0
    this.#reservedBytes = 0
  }

  /** Messages it holds: waiting, delayed and unsettled. */
  get count(): number {
    return this.#waiting.count + this.#unsettledCount
  }

  get readyCount(): number {
    return this.#waiting.readyCount
  }

  get delayedCount(): number {
    return this.#waiting.delayedCount
  }

  get unsettledCount(): number {
    return this.#unsettledCount
  }

  get bytes(): number {
    return this.#bytes + this.#waiting.backlog.bytes
  }

  /** Bytes of those that are not in the backlog. */
  get residentBytes(): number {
    return this.#bytes
  }

  get consumerCount(): number {
    return this.#consumers.count
  }

  get isIdle(): boolean {
    return this.#consumers.feeds.length === 0 && this.count === 0
  }

  /** Whether one more message fits: taken, taken while the sender is held at the gate, or refused. */
  admit(): 'take' | 'hold' | BrokerError {
    const { messagesMax, bytesMax, overflow } = this.policy
    const count = this.count + this.#reservedCount
    const bytes = this.bytes + this.#reservedBytes
    if (count < messagesMax && bytes < bytesMax) return 'take'
    if (overflow === 'drop-oldest') return 'take'
    const factor = this.#context.limits.hardLimitFactor
    if (overflow === 'block' && count < messagesMax * factor && bytes < bytesMax * factor) return 'hold'
    return new BrokerError('resource-exhausted', `${this.address} is full: ${count} messages, ${bytes} bytes`)
  }

  /** Keeps room for a message that is to be put once others have been admitted too. */
  reserve(message: Message): void {
    this.#reservedCount += 1
    this.#reservedBytes += message.size
  }

  unreserve(message: Message): void {
    this.#reservedCount -= 1
    this.#reservedBytes -= message.size
  }

  /** If it is full: holds the sender until there is room again. */
  hold(sender: Sender): void {
    const { messagesMax, bytesMax } = this.policy
    if (this.count >= messagesMax || this.bytes >= bytesMax) this.gate.hold(sender)
  }

  /**
   * Hands a message straight to the one consumer of a topic subscriber's queue, if nothing waits before it and nothing of it has to
   * be remembered. False: it has to be put.
   */
  handOver(message: Message): boolean {
    const feed = this.#consumers.feeds[0]
    if (feed === undefined || !feed.subscription.presettled || !feed.subscription.isReady) return false
    if (this.#spec !== undefined || this.#isShared || this.#waiting.readyCount > 0) return false
    if (message.deliverAt > 0 || message.expiresAt > 0 || this.isPaused || this.isDeleted) return false
    if (!this.#context.turn.mayHandOver()) return false
    this.counters.enqueued += 1
    this.counters.delivered += 1
    this.counters.acknowledged += 1
    feed.subscription.hand(new HandedDelivery(message, this.#waiting.nextSequence()))
    return true
  }

  /** Puts a message in its place. True if the store will hold it. */
  put(message: Message): boolean {
    // Deleted from inside a call that this message caused: its topic has another subscriber that is too slow, say.
    if (this.isDeleted) return false
    if (this.policy.overflow === 'drop-oldest') this.#makeRoom()
    const sequence = this.#waiting.nextSequence()
    const isStored = this.#isKept(message)
    this.counters.enqueued += 1
    if (isStored) {
      this.#context.batch().put(this.ownerId(), sequence, message, message.deliverAt)
      if (message.expiresAt > 0 && !this.#mayExpire && this.#context.isPaging) this.#noteMayExpire(true)
    }
    if (isStored && message.waitsForStore) this.#waiting.holdUntilStored(sequence)
    this.#waiting.join(message, sequence, isStored)
    return isStored
  }

  /** Puts a copy of the topic's retained message before anything else, for a new subscription. */
  putRetained(message: Message): void {
    const isStored = this.#isKept(message)
    const sequence = this.#waiting.putRetained(message, isStored)
    if (isStored) this.#context.batch().put(this.ownerId(), sequence, message, retainedTime)
  }

  /**
   * Takes over a delivery that `bury` or `sendBack` moves here from another queue. If a consumer may have seen it before its last
   * delivery, it stays marked: a crash may have undone an earlier move, after which it was delivered here.
   */
  adopt(message: Message, from: QueuedDelivery): void {
    const sequence = this.#waiting.nextSequence()
    const isStored = this.#spec !== undefined && (from.isStored || this.#isKept(message))
    this.counters.enqueued += 1
    if (isStored && from.isStored) {
      const batch = this.#context.batch()
      batch.move(from.queue.ownerId(), from.message.priority, from.sequence, this.ownerId(), sequence, message)
    } else if (isStored) {
      this.#context.batch().put(this.ownerId(), sequence, message, 0)
    } else if (from.isStored) {
      this.#context.batch().ack(from.queue.ownerId(), from.message.priority, from.sequence, false)
    }
    if (isStored && from.redelivered) this.#context.batch().redeliver(this.ownerId(), message.priority, sequence, 0, 0)
    this.#waiting.join(message, sequence, isStored, from.redelivered)
  }

  /** Fills a queue that the store has kept; if the store does not page, {@link restoreEntry} does. */
  restore(record: OwnerRecord): void {
    this.#ownerId = record.id
    this.#mayExpire = this.#context.states.get(this.#expiryKey) !== undefined
    this.#waiting.restore(record, this.#mayExpire)
  }

  /** Puts back one entry that the store has kept; in the order of sequences. */
  restoreEntry(entry: StoredEntry): void {
    this.#waiting.restoreEntry(entry)
  }

  /** The store's number for it; defined on first use. */
  ownerId(): OwnerId {
    if (this.#ownerId !== undefined) return this.#ownerId
    if (this.#spec === undefined) throw new Error(`${this.address} is not stored`)
    this.#ownerId = this.#context.batch().define(this.#spec)
    return this.#ownerId
  }

  /** Adds a consumer or a browser. */
  attach(feed: Feed): void {
    if (feed.isBrowser) this.#consumers.attachBrowser(feed)
    else this.#consumers.attach(feed)
  }

  /** Removes one; its unsettled deliveries have gone back. */
  detach(feed: Feed): void {
    if (feed.isBrowser) this.#consumers.detachBrowser(feed)
    else this.#consumers.detach(feed)
  }

  /** A feed has credit again. */
  offer(feed: Feed): void {
    this.#consumers.offer(feed)
  }

  /** A feed wants to be told when nothing more waits for it. */
  drain(): void {
    this.#consumers.drain()
  }

  /** A message of a group has come. */
  group(): void {
    if (this.#isShared) this.#consumers.group()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.#context.turn.markDispatch(this)
  }

  /** Drops everything that no consumer holds. Returns how many. */
  purge(): number {
    const purged = this.#waiting.clear((delivery) => this.forget(delivery))
    this.begun = undefined
    this.ease()
    return purged
  }

  /** Deletes it and ends its consumers, who are told why. A consumer of several queues only loses this one. */
  end(error: BrokerError): void {
    this.delete()
    for (const { subscription } of [...this.#consumers.feeds]) {
      if (subscription.leave(this)) subscription.end(error)
    }
  }

  /** Deletes it: what it holds is forgotten, in the store too. */
  delete(): void {
    this.isDeleted = true
    this.#waiting.close()
    this.purge()
    this.gate.open()
    if (this.#ownerId !== undefined) this.#context.batch().remove(this.#ownerId)
    if (this.#mayExpire) this.#noteMayExpire(false)
  }

  /**
   * Before an orderly stop: has the store mark what consumers have seen and given back, so that after the next start exactly
   * that is marked as redelivered.
   */
  rememberSeen(): void {
    if (this.#mayExpire && this.count === 0) this.#noteMayExpire(false)
    for (const delivery of this.#waiting.all()) {
      if (!delivery.isStored || !delivery.redelivered) continue
      const { deliveryCount, sequence, message, isRetained } = delivery
      const time = isRetained ? retainedTime : 0
      this.#context.batch().redeliver(this.ownerId(), message.priority, sequence, deliveryCount, time)
    }
  }

  /** Those waiting that are in memory as deliveries, in order of dispatch; behind them in each priority is the backlog. */
  residents(): Iterable<QueuedDelivery> {
    return this.#waiting.all()
  }

  /** Looks at everything that waits, in order of dispatch, in the store too. See {@link Waiting.walk}. */
  walk(visit: Visit): Promise<void> {
    return this.#waiting.walk(visit)
  }

  /** Takes a waiting delivery out, to be adopted by another queue. */
  release(delivery: QueuedDelivery): void {
    this.#waiting.remove(delivery)
    delivery.state = 'settled'
    this.unaccount(delivery)
    this.ease()
  }

  dispatch(budget: number): boolean {
    this.#waiting.merge()
    return this.#consumers.dispatch(budget) <= 0
  }

  /**
   * Applies the outcome of a delivery that a subscription has given up. `isFinal`: it stands whatever becomes of the batch,
   * as that of a transaction does not.
   */
  settle(delivery: QueuedDelivery, outcome: Outcome, isFinal: boolean): void {
    const { subscription } = delivery
    this.#unsettledCount -= 1
    delivery.subscription = undefined
    if (this.isDeleted) {
      this.unaccount(delivery)
      return
    }
    switch (outcome.kind) {
      case 'accepted':
        this.counters.acknowledged += 1
        this.forget(delivery, isFinal)
        this.ease()
        return
      case 'rejected':
        if (isGrave(this.address)) this.#waiting.giveBack(delivery)
        else this.die(delivery, { grave: 'DLQ', reason: outcome.reason })
        return
      case 'released':
        this.#waiting.giveBack(delivery)
        return
      case 'modified':
        this.#modify(delivery, outcome, subscription)
        return
      default:
        outcome satisfies never
    }
  }

  /** Hands a waiting delivery to a consumer that can take it. */
  hand(delivery: QueuedDelivery, subscription: BrokerSubscription): void {
    this.#waiting.remove(delivery)
    this.counters.delivered += 1
    if (!subscription.presettled) {
      delivery.state = 'unsettled'
      this.#unsettledCount += 1
      subscription.take(delivery)
      return
    }
    this.counters.acknowledged += 1
    subscription.take(delivery)
    this.forget(delivery, true)
    this.ease()
  }

  /** Is done with a delivery that is out of every list. */
  forget(delivery: QueuedDelivery, isFinal = false): void {
    delivery.state = 'settled'
    if (delivery.isStored) {
      this.#context.batch().ack(this.ownerId(), delivery.message.priority, delivery.sequence, isFinal)
    }
    this.unaccount(delivery)
  }

  /** Gives the delivery, already out of every list, to the queue of the dead, or drops it by policy. */
  die(delivery: QueuedDelivery, death: { grave: 'DLQ' | 'ExpiryQueue'; reason: string }): void {
    if (death.grave === 'DLQ') this.counters.deadLettered += 1
    else this.counters.expired += 1
    const fate = death.grave === 'DLQ' ? this.policy.deadLetter : this.policy.expired
    // The queue of the dead would outlive a temporary destination, and nobody would look for it.
    if (fate === 'drop' || delivery.isRetained || delivery.message.address.isTemporary) {
      this.forget(delivery)
    } else {
      delivery.state = 'settled'
      this.#context.bury(delivery, death)
      this.unaccount(delivery)
    }
    this.ease()
  }

  /** Takes a waiting delivery out whose time is over. */
  expire(delivery: QueuedDelivery): void {
    this.#waiting.remove(delivery)
    this.die(delivery, { grave: 'ExpiryQueue', reason: 'expired' })
  }

  /** Counts a delivery that has begun to be one of this queue. */
  account(delivery: QueuedDelivery): void {
    this.#bytes += delivery.message.size
    this.#context.memory.hold(delivery.message)
  }

  /** A delivery has ceased to be one of this queue. */
  unaccount(delivery: QueuedDelivery): void {
    this.#bytes -= delivery.message.size
    this.begun?.delete(delivery.sequence)
    this.#context.memory.release(delivery.message)
  }

  /** One message less: senders at the gate may go on. */
  ease(): void {
    if (!this.gate.isShut) return
    const { messagesMax, bytesMax } = this.policy
    if (this.count <= messagesMax * lowWater && this.bytes <= bytesMax * lowWater) this.gate.open()
  }

  #modify(delivery: QueuedDelivery, outcome: Modified, by: BrokerSubscription | undefined): void {
    const { annotations, isUndeliverableHere, hasFailed = true, delayMs } = outcome
    if (annotations !== undefined) this.#amend(delivery, annotations)
    if (isUndeliverableHere === true && by !== undefined) {
      delivery.refuse(by)
      this.#consumers.becomeSelective()
    }
    if (hasFailed) delivery.deliveryCount += 1
    const { deliveryCount } = delivery
    if (hasFailed && deliveryCount >= this.policy.deliveriesMax && !isGrave(this.address)) {
      this.die(delivery, { grave: 'DLQ', reason: `not accepted in ${deliveryCount} deliveries` })
      return
    }
    const delay = delayMs ?? (hasFailed ? redeliveryDelay(this.policy, deliveryCount) : 0)
    this.#retry(delivery, delay, annotations !== undefined)
  }

  /** From now on it has what a consumer has added to it. */
  #amend(delivery: QueuedDelivery, additions: Uint8Array): void {
    const { memory } = this.#context
    const { message } = delivery
    delivery.message = message.with({ additions: Uint8Array.from(additions) })
    this.#bytes += delivery.message.size - message.size
    memory.hold(delivery.message)
    memory.release(message)
  }

  #retry(delivery: QueuedDelivery, delay: number, isAmended: boolean): void {
    const notBefore = delay > 0 ? this.#context.clock.now() + delay : 0
    if (delivery.isStored) {
      const { message, sequence, deliveryCount, isRetained } = delivery
      const time = notBefore === 0 && isRetained ? retainedTime : notBefore
      const batch = this.#context.batch()
      batch.redeliver(this.ownerId(), message.priority, sequence, deliveryCount, time)
      if (isAmended) batch.amend(this.ownerId(), message.priority, sequence, message)
    }
    if (notBefore === 0) {
      this.#waiting.giveBack(delivery)
      return
    }
    delivery.redelivered = true
    this.#waiting.delay(delivery, notBefore)
  }

  #makeRoom(): void {
    const { messagesMax, bytesMax } = this.policy
    while (this.#limitedCount >= messagesMax || this.bytes >= bytesMax) {
      if (!this.#waiting.dropOldest()) return
      this.counters.dropped += 1
    }
  }

  /** What `messagesMax` limits: all that it holds; of an unnamed topic subscriber, what has not been handed over. */
  get #limitedCount(): number {
    const isSubscriber = this.subscription === undefined && this.address.kind === 'topic'
    return isSubscriber ? this.count - this.#unsettledCount : this.count
  }

  /** Remembers over a restart whether what is stored may expire, so that otherwise it need not be read to find out. */
  #noteMayExpire(mayExpire: boolean): void {
    this.#mayExpire = mayExpire
    this.#context.states.put({ key: this.#expiryKey, value: mayExpire ? new Uint8Array() : undefined })
  }

  get #expiryKey(): string {
    return `broker/may-expire/${this.ownerId()}`
  }

  /** True if the policy wants the message in the store. */
  #isKept(message: Message): boolean {
    const { persistent } = this.policy
    return this.#spec !== undefined && persistent !== 'never' && (message.durable || persistent === 'always')
  }
}
