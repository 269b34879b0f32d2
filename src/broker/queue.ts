import type { Address } from '../address.ts'
import { BrokerError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { Modified, Outcome } from '../session.ts'
import type { OwnerId, OwnerRecord, OwnerSpec, StoredEntry } from '../store/store.ts'
import type { Dispatchable } from '../turn.ts'
import { Backlog, type Surfaced } from './backlog.ts'
import { Browser } from './browser.ts'
import type { Context } from './context.ts'
import { Deadline } from './deadlines.ts'
import { QueuedDelivery } from './delivery.ts'
import { Expiry, isExpired } from './expiry.ts'
import { Gate, lowWater, type Sender } from './flow.ts'
import { Groups } from './groups.ts'
import { Heap } from './heap.ts'
import type { Policy } from './policy.ts'
import { Ready } from './ready.ts'
import { type Feed, Rotation } from './rotation.ts'
import type { BrokerSubscription } from './subscription.ts'
import { Walker } from './walker.ts'

const priorityMax = 9
/** Messages and bytes of one priority that wait as deliveries; what comes after them is the backlog. */
const windowMessages = 16_384
const windowBytes = 32 * 1024 * 1024
/** Fewer deliveries waiting than this are filled up from the backlog. */
const windowLow = 4096
/** How far ahead of what is delivered the store is told that consumers may have seen it. */
const horizonStep = 8192

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

/** What has happened to a queue's messages since it was made. */
export interface QueueCounters {
  enqueued: number
  delivered: number
  acknowledged: number
  expired: number
  deadLettered: number
  dropped: number
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
  readonly #context: Context
  readonly #spec: OwnerSpec | undefined
  readonly #isShared: boolean
  readonly #ready: Ready
  readonly #expiry: Expiry
  readonly #rotation: Rotation
  readonly #feeds: Feed[]
  readonly #browsers: Browser[]
  readonly #delayed: Heap<QueuedDelivery>
  readonly #backlog: Backlog
  readonly #deadline: Deadline
  #groups: Groups | undefined
  #exclusive: Feed | undefined
  #ownerId: OwnerId | undefined
  #lastSequence: number
  /** Stored deliveries up to this sequence may be handed out, and up to which one the store has been asked. */
  #horizon: number
  #horizonAsked: number
  /** The least `order` given to a retained message, which goes before everything; at most 0. */
  #firstOrder: number
  #unsettledCount: number
  #bytes: number
  /** Room kept while a transaction is looked at. */
  #reservedCount: number
  #reservedBytes: number
  #isSelective: boolean
  #isDraining: boolean

  constructor(context: Context, options: QueueOptions) {
    this.address = options.address
    this.policy = options.policy
    this.subscription = options.subscription
    this.gate = new Gate()
    this.counters = { enqueued: 0, delivered: 0, acknowledged: 0, expired: 0, deadLettered: 0, dropped: 0 }
    this.dispatchMarked = false
    this.isPaused = false
    this.isDeleted = false
    this.#context = context
    this.#spec = options.spec
    this.#isShared = options.isShared
    this.#ready = new Ready()
    this.#expiry = new Expiry(this.#ready)
    this.#rotation = new Rotation()
    this.#feeds = []
    this.#browsers = []
    this.#delayed = new Heap<QueuedDelivery>((delivery) => delivery.notBefore)
    this.#backlog = new Backlog(context, this, () => this.ownerId())
    this.#deadline = new Deadline(context.deadlines, this)
    this.#groups = undefined
    this.#exclusive = undefined
    this.#ownerId = undefined
    this.#lastSequence = 0
    this.#horizon = 0
    this.#horizonAsked = 0
    this.#firstOrder = 0
    this.#unsettledCount = 0
    this.#bytes = 0
    this.#reservedCount = 0
    this.#reservedBytes = 0
    this.#isSelective = false
    this.#isDraining = false
  }

  /** Messages it holds: waiting, delayed and unsettled. */
  get count(): number {
    return this.#ready.count + this.#backlog.count + this.#delayed.size + this.#unsettledCount
  }

  get readyCount(): number {
    return this.#ready.count + this.#backlog.count
  }

  get delayedCount(): number {
    return this.#delayed.size
  }

  get unsettledCount(): number {
    return this.#unsettledCount
  }

  get bytes(): number {
    return this.#bytes + this.#backlog.bytes
  }

  get consumerCount(): number {
    return this.#feeds.length
  }

  get isIdle(): boolean {
    return this.#feeds.length === 0 && this.#browsers.length === 0 && this.count === 0
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

  /** Puts a message in its place. True if the store will hold it. */
  put(message: Message): boolean {
    // Deleted from inside a call that this message caused: its topic has another subscriber that is too slow, say.
    if (this.isDeleted) return false
    if (this.policy.overflow === 'drop-oldest') this.#makeRoom()
    const sequence = this.#nextSequence()
    const isStored = this.#isKept(message)
    this.counters.enqueued += 1
    if (isStored) this.#context.batch().put(this.ownerId(), sequence, message, message.deliverAt)
    this.#join(message, sequence, isStored)
    return isStored
  }

  /** Puts a copy of the topic's retained message before anything else, for a new subscription. */
  putRetained(message: Message): void {
    const delivery = new QueuedDelivery(this, message, this.#nextSequence())
    delivery.isRetained = true
    if (message.groupId !== undefined && this.#isShared) this.#group()
    this.#firstOrder -= 1
    delivery.order = this.#firstOrder
    this.#account(delivery)
    this.#noteExpiry(message)
    this.#ready.giveBack(delivery)
    this.#context.turn.markDispatch(this)
  }

  /** Takes over a delivery that `bury` or `sendBack` moves here from another queue. */
  adopt(message: Message, from: QueuedDelivery): void {
    const sequence = this.#nextSequence()
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
    this.#join(message, sequence, isStored)
  }

  /** Fills a queue that the store has kept; if the store does not page, {@link restoreEntry} does. */
  restore(record: OwnerRecord): void {
    this.#ownerId = record.id
    this.#lastSequence = Math.max(this.#lastSequence, record.lastSequence)
    if (!this.#context.isPaging) return
    let bytes = record.bytes
    for (const [priority, count] of record.counts.entries()) {
      if (count === 0) continue
      this.#backlog.restore(priority, count, bytes)
      bytes = 0
    }
  }

  /** Puts back one entry that the store has kept; in the order of sequences. */
  restoreEntry(entry: StoredEntry): void {
    this.#restoreSurfaced({ ...entry, isStored: true })
  }

  /** The store's number for it; defined on first use. */
  ownerId(): OwnerId {
    if (this.#ownerId !== undefined) return this.#ownerId
    if (this.#spec === undefined) throw new Error(`${this.address} is not stored`)
    this.#ownerId = this.#context.batch().define(this.#spec)
    return this.#ownerId
  }

  /** Adds a consumer. */
  attach(feed: Feed): void {
    this.#feeds.push(feed)
    if (feed.isExclusive) this.#chooseExclusive()
    if (feed.selector !== undefined || this.#groups !== undefined) this.#becomeSelective()
    if (this.#isSelective) this.#walk(feed)
    this.offer(feed)
  }

  /** Removes a consumer whose unsettled deliveries have gone back. */
  detach(feed: Feed): void {
    const index = this.#feeds.indexOf(feed)
    if (index < 0) return
    this.#feeds.splice(index, 1)
    this.#rotation.withdraw(feed)
    if (feed.walker !== undefined) this.#ready.unwatch(feed.walker)
    if (feed === this.#exclusive) this.#chooseExclusive()
    this.#groups?.release(feed)
    if (this.#isSelective) this.#restartWalkers()
  }

  attachBrowser(feed: Feed): void {
    const browser = new Browser(feed, this, this.#context, this.#lastSequence)
    this.#browsers.push(browser)
    this.#ready.watch(browser.walker)
    this.#context.turn.markDispatch(this)
  }

  detachBrowser(feed: Feed): void {
    const index = this.#browsers.findIndex((browser) => browser.feed === feed)
    for (const browser of index < 0 ? [] : this.#browsers.splice(index, 1)) this.#ready.unwatch(browser.walker)
  }

  /** A feed has credit again. */
  offer(feed: Feed): void {
    if (!feed.isBrowser) this.#rotation.offer(feed)
    if (this.readyCount > 0 || this.#browsers.length > 0 || this.#isDraining) this.#context.turn.markDispatch(this)
  }

  /** A feed wants to be told when nothing more waits for it. */
  drain(): void {
    this.#isDraining = true
    this.#context.turn.markDispatch(this)
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
    let purged = this.#backlog.clear(this.#lastSequence)
    for (const delivery of this.#ready.all()) {
      this.#ready.remove(delivery)
      this.#forget(delivery)
      purged += 1
    }
    for (const delivery of this.#delayed.takeAll()) {
      this.#forget(delivery)
      purged += 1
    }
    this.#settled()
    return purged
  }

  /** Deletes it and ends its consumers, who are told why. A consumer of several queues only loses this one. */
  end(error: BrokerError): void {
    this.delete()
    for (const { subscription } of [...this.#feeds, ...this.#browsers.map((browser) => browser.feed)]) {
      if (subscription.leave(this)) subscription.end(error)
    }
  }

  /** Deletes it: what it holds is forgotten, in the store too. */
  delete(): void {
    this.isDeleted = true
    this.#deadline.clear()
    this.purge()
    this.gate.open()
    if (this.#ownerId !== undefined) this.#context.batch().remove(this.#ownerId)
  }

  /**
   * Before an orderly stop: has the store mark what consumers have seen and given back, so that after the next start exactly
   * that is marked as redelivered.
   */
  rememberSeen(): void {
    for (const delivery of this.#ready.all()) {
      if (!delivery.isStored || !delivery.redelivered) continue
      const { deliveryCount, sequence, message } = delivery
      this.#context.batch().redeliver(this.ownerId(), message.priority, sequence, deliveryCount, 0)
    }
  }

  /** The deliveries waiting now, in order of dispatch, for administration. */
  waiting(): Iterable<QueuedDelivery> {
    return this.#ready.all()
  }

  /** Takes a waiting delivery out, to be adopted by another queue. */
  release(delivery: QueuedDelivery): void {
    this.#ready.remove(delivery)
    delivery.state = 'settled'
    this.#unaccount(delivery)
    this.#settled()
  }

  dispatch(budget: number): boolean {
    this.#ready.merge()
    let left = this.isPaused || this.isDeleted ? budget : this.#serve(budget)
    if (this.#browsers.length > 0) left = this.#show(left)
    if (this.#isDraining && left > 0) this.#tellDrained()
    return left <= 0
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
      this.#unaccount(delivery)
      return
    }
    switch (outcome.kind) {
      case 'accepted':
        this.counters.acknowledged += 1
        this.#forget(delivery, isFinal)
        this.#settled()
        return
      case 'rejected':
        if (this.#isGrave()) this.#giveBack(delivery)
        else this.#die(delivery, { grave: 'DLQ', reason: outcome.reason })
        return
      case 'released':
        this.#giveBack(delivery)
        return
      case 'modified':
        this.#modify(delivery, outcome, subscription)
        return
      default:
        outcome satisfies never
    }
  }

  /** Called by the deadlines: something delayed is due, or it is time to look for expired messages. */
  due(now: number): void {
    const mature: QueuedDelivery[] = []
    for (let next = this.#delayed.peek(); next !== undefined && next.notBefore <= now; next = this.#delayed.peek()) {
      this.#delayed.pop()
      mature.push(next)
    }
    mature.sort((left, right) => left.notBefore - right.notBefore || left.sequence - right.sequence)
    for (const delivery of mature) this.#mature(delivery)
    this.#expiry.sweep(now, (delivery) => this.#expire(delivery))
    if (this.#backlog.count > 0) this.#sweepBacklog(now)
    this.#arm(now)
  }

  #serve(budget: number): number {
    if (this.readyCount === 0) return budget
    if (this.#backlog.count > 0 && this.#feeds.length > 0) this.#surface(windowLow)
    const now = this.#context.clock.now()
    return this.#isSelective ? this.#serveSelectively(budget, now) : this.#serveHead(budget, now)
  }

  /** The plain case: the head of the highest priority goes to the next consumer. */
  #serveHead(budget: number, now: number): number {
    let left = budget
    for (let priority = priorityMax; priority >= 0; priority -= 1) {
      const list = this.#ready.lists[priority]
      for (let delivery = list?.head; delivery !== undefined && !this.isPaused; delivery = list?.head) {
        // A consumer may have brought selectors or groups in; they begin with the next turn.
        if (left <= 0 || this.#isSelective) return 0
        left -= 1
        if (isExpired(delivery, now)) {
          this.#expire(delivery)
          continue
        }
        if (delivery.isStored && !this.#reaches(delivery.sequence)) return left
        const feed = this.#nextFeed()
        if (feed === undefined) return left
        this.#hand(delivery, feed)
      }
      // What is still being read comes before lower priorities.
      if (this.#backlog.has(priority)) return this.#surface(windowLow) ? 0 : left
    }
    return left
  }

  /** Selectors or groups: each consumer in turn walks on to the next message that is for it. */
  #serveSelectively(budget: number, now: number): number {
    let left = budget
    for (const feed of this.#feeds) if (feed.subscription.isReady) this.#rotation.offer(feed)
    for (let feed = this.#nextFeed(); feed !== undefined && !this.isPaused; feed = this.#nextFeed()) {
      if (left <= 0) return 0
      const found = this.#find(feed, left, now)
      left = found.left
      if (found.delivery !== undefined) this.#hand(found.delivery, feed)
      else if (left <= 0) return 0
      else this.#rotation.withdraw(feed)
      if (feed === this.#exclusive && found.delivery === undefined) return left
    }
    return left
  }

  /** Tells the feeds that wait for it that all there was for them has been given. */
  #tellDrained(): void {
    this.#isDraining = false
    for (const feed of [...this.#feeds, ...this.#browsers.map((browser) => browser.feed)]) {
      if (!feed.isDraining) continue
      if (this.#isDryFor(feed)) {
        feed.isDraining = false
        feed.subscription.drained()
      } else this.#isDraining = true
    }
  }

  #isDryFor(feed: Feed): boolean {
    const { subscription } = feed
    if (subscription.credit === 0 || this.isPaused || this.isDeleted) return true
    if (feed.isBrowser || subscription.session.isSuspended) return false
    if (this.readyCount === 0 || (this.#exclusive !== undefined && this.#exclusive !== feed)) return true
    return this.#isSelective && feed.isDry
  }

  #show(budget: number): number {
    const view = { lists: this.#ready.lists, backlog: this.#backlog, now: this.#context.clock.now() }
    let left = budget
    for (const browser of this.#browsers.slice()) {
      if (left <= 0) break
      left = browser.serve(view, left)
    }
    return left
  }

  #find(feed: Feed, budget: number, now: number): { delivery: QueuedDelivery | undefined; left: number } {
    const walker = feed.walker
    let left = budget
    feed.isDry = false
    if (walker === undefined) return { delivery: undefined, left }
    for (let priority = priorityMax; priority >= 0; priority -= 1) {
      do {
        const list = this.#ready.lists[priority]
        if (list === undefined) continue
        for (let next = walker.step(priority, list); next !== undefined; next = walker.step(priority, list)) {
          left -= 1
          if (isExpired(next, now)) {
            this.#expire(next)
            // That may have freed a sender, and that have ended the consumer.
            if (!feed.subscription.isReady) return { delivery: undefined, left }
          } else if (next.isStored && !this.#reaches(next.sequence)) {
            walker.leaving(next)
            return { delivery: undefined, left }
          } else if (this.#isFor(next, feed)) return { delivery: next, left }
          if (left <= 0) return { delivery: undefined, left: 0 }
        }
      } while (this.#surfaceMore(priority))
      // What is still being read comes before lower priorities.
      if (this.#backlog.has(priority)) return { delivery: undefined, left }
    }
    feed.isDry = true
    return { delivery: undefined, left }
  }

  #isFor(delivery: QueuedDelivery, feed: Feed): boolean {
    const { message } = delivery
    if (feed.selector !== undefined && !feed.selector.matches(message)) return false
    if (delivery.modification?.refusers.has(feed.subscription) === true) return false
    return message.groupId === undefined || this.#groups === undefined || this.#groups.claim(message.groupId, feed)
  }

  #nextFeed(): Feed | undefined {
    const exclusive = this.#exclusive
    if (exclusive === undefined) return this.#rotation.next()
    return exclusive.subscription.isReady ? exclusive : undefined
  }

  #hand(delivery: QueuedDelivery, feed: Feed): void {
    this.#ready.remove(delivery)
    this.counters.delivered += 1
    if (!feed.subscription.presettled) {
      delivery.state = 'unsettled'
      this.#unsettledCount += 1
      feed.subscription.take(delivery)
      return
    }
    this.counters.acknowledged += 1
    feed.subscription.take(delivery)
    this.#forget(delivery, true)
    this.#settled()
  }

  #modify(delivery: QueuedDelivery, outcome: Modified, by: BrokerSubscription | undefined): void {
    const { annotations, isUndeliverableHere, hasFailed = true, delayMs } = outcome
    if (annotations !== undefined || isUndeliverableHere === true) {
      this.#unaccount(delivery)
      delivery.modify(annotations, isUndeliverableHere === true ? by : undefined)
      this.#account(delivery)
      if (isUndeliverableHere === true) this.#becomeSelective()
    }
    if (hasFailed) this.#fail(delivery, delayMs)
    else this.#retry(delivery, delayMs ?? 0)
  }

  #fail(delivery: QueuedDelivery, delayMs: number | undefined): void {
    delivery.deliveryCount += 1
    if (delivery.deliveryCount >= this.policy.deliveriesMax && !this.#isGrave()) {
      this.#die(delivery, { grave: 'DLQ', reason: `not accepted in ${delivery.deliveryCount} deliveries` })
      return
    }
    this.#retry(delivery, delayMs ?? this.#redeliveryDelay(delivery.deliveryCount))
  }

  #retry(delivery: QueuedDelivery, delay: number): void {
    const notBefore = delay > 0 ? this.#context.clock.now() + delay : 0
    if (delivery.isStored) {
      const batch = this.#context.batch()
      batch.redeliver(this.ownerId(), delivery.message.priority, delivery.sequence, delivery.deliveryCount, notBefore)
    }
    if (notBefore === 0) {
      this.#giveBack(delivery)
      return
    }
    delivery.redelivered = true
    this.#delay(delivery, notBefore)
  }

  #redeliveryDelay(attempt: number): number {
    const { redeliveryDelayMs, redeliveryBackoff, redeliveryDelayMsMax } = this.policy
    return Math.min(redeliveryDelayMs * redeliveryBackoff ** (attempt - 1), redeliveryDelayMsMax)
  }

  #giveBack(delivery: QueuedDelivery): void {
    delivery.redelivered = true
    delivery.state = 'ready'
    this.#noteExpiry(delivery.message)
    this.#ready.giveBack(delivery)
    this.#context.turn.markDispatch(this)
  }

  /** Takes a new message into the queue: to its time, to the backlog, or to those that wait. */
  #join(message: Message, sequence: number, isStored: boolean): void {
    const { priority } = message
    const isDelayed = message.deliverAt > 0 && message.deliverAt > this.#context.clock.now()
    if (!isDelayed && this.#isBehind(priority)) {
      this.#backlog.push(message, sequence, isStored)
      this.#noteExpiry(message)
      if (!this.dispatchMarked) this.#context.turn.markDispatch(this)
      return
    }
    const delivery = new QueuedDelivery(this, message, sequence)
    delivery.isStored = isStored
    this.#account(delivery)
    if (!isDelayed) {
      this.#append(delivery)
      return
    }
    if (isStored) this.#backlog.skip(priority, sequence)
    this.#delay(delivery, message.deliverAt)
  }

  /** True if a new message has to go to the backlog: there is one, or the window is full. Groups and selectors need it whole. */
  #isBehind(priority: number): boolean {
    if (this.#backlog.has(priority)) return true
    const waiting = this.#ready.lists[priority]?.count ?? 0
    return waiting >= windowMessages || (this.#bytes >= windowBytes && waiting > 0)
  }

  /** Fills those that wait up from the backlog, in each priority to `low` at least. True if any has come. */
  #surface(low: number): boolean {
    let hasCome = false
    for (let priority = priorityMax; priority >= 0; priority -= 1) {
      const waiting = this.#ready.lists[priority]?.count ?? 0
      if (this.#surfaceSome(priority, low - waiting)) hasCome = true
    }
    return hasCome
  }

  /** Brings more of one priority than waits already, for a consumer that has looked at all that waits. */
  #surfaceMore(priority: number): boolean {
    return this.#backlog.has(priority) && this.#surfaceSome(priority, windowLow)
  }

  #surfaceSome(priority: number, wanted: number): boolean {
    if (!this.#backlog.has(priority)) return false
    let count = 0
    while (count < wanted) {
      const surfaced = this.#backlog.shift(priority)
      if (surfaced === undefined) break
      this.#restoreSurfaced(surfaced)
      count += 1
    }
    return count > 0
  }

  #restoreSurfaced(surfaced: Surfaced): void {
    const delivery = this.#deliveryOf(surfaced)
    this.#account(delivery)
    if (surfaced.notBefore > this.#context.clock.now()) this.#delay(delivery, surfaced.notBefore)
    else this.#append(delivery)
  }

  #deliveryOf(surfaced: Surfaced): QueuedDelivery {
    const delivery = new QueuedDelivery(this, surfaced.message, surfaced.sequence)
    delivery.isStored = surfaced.isStored
    delivery.deliveryCount = surfaced.deliveryCount
    delivery.redelivered = surfaced.redelivered
    return delivery
  }

  /**
   * True if the store knows on disk that a consumer may see this sequence, so that after a crash it comes back marked as
   * redelivered. Asks for more in good time; if it must be waited for, the queue is marked then.
   */
  #reaches(sequence: number): boolean {
    if (!this.#context.isPaging) return true
    if (sequence + horizonStep / 2 > this.#horizonAsked) {
      const asked = sequence + horizonStep
      this.#horizonAsked = asked
      this.#context.batch().horizon(this.ownerId(), asked)
      this.#context.afterCommit(() => {
        this.#horizon = Math.max(this.#horizon, asked)
        this.#context.turn.markDispatch(this)
      })
    }
    return sequence <= this.#horizon
  }

  #delay(delivery: QueuedDelivery, notBefore: number): void {
    delivery.state = 'delayed'
    delivery.notBefore = notBefore
    this.#delayed.push(delivery)
    this.#arm(this.#context.clock.now())
  }

  #mature(delivery: QueuedDelivery): void {
    delivery.notBefore = 0
    if (delivery.redelivered) {
      this.#giveBack(delivery)
      return
    }
    const { priority } = delivery.message
    delivery.order = this.#backlog.has(priority) ? this.#ready.orderAtEnd(priority) : this.#nextSequence()
    delivery.state = 'ready'
    this.#append(delivery)
  }

  #append(delivery: QueuedDelivery): void {
    const { message } = delivery
    if (message.groupId !== undefined && this.#isShared) this.#group()
    this.#ready.push(delivery)
    this.#noteExpiry(message)
    if (!this.dispatchMarked) this.#context.turn.markDispatch(this)
  }

  #noteExpiry(message: Message): void {
    if (this.#expiry.note(message)) this.#arm(this.#context.clock.now())
  }

  #forget(delivery: QueuedDelivery, isFinal = false): void {
    delivery.state = 'settled'
    if (delivery.isStored) {
      this.#context.batch().ack(this.ownerId(), delivery.message.priority, delivery.sequence, isFinal)
    }
    this.#unaccount(delivery)
  }

  /** Gives the delivery, already out of every list, to the queue of the dead, or drops it by policy. */
  #die(delivery: QueuedDelivery, death: { grave: 'DLQ' | 'ExpiryQueue'; reason: string }): void {
    if (death.grave === 'DLQ') this.counters.deadLettered += 1
    else this.counters.expired += 1
    const fate = death.grave === 'DLQ' ? this.policy.deadLetter : this.policy.expired
    if (fate === 'drop' || delivery.isRetained) {
      this.#forget(delivery)
    } else {
      delivery.state = 'settled'
      this.#context.bury(delivery, death)
      this.#unaccount(delivery)
    }
    this.#settled()
  }

  #expire(delivery: QueuedDelivery): void {
    this.#ready.remove(delivery)
    this.#die(delivery, { grave: 'ExpiryQueue', reason: 'expired' })
  }

  #sweepBacklog(now: number): void {
    for (const surfaced of this.#backlog.takeExpired(now)) {
      const delivery = this.#deliveryOf(surfaced)
      this.#account(delivery)
      this.#die(delivery, { grave: 'ExpiryQueue', reason: 'expired' })
    }
    this.#expiry.noteAt(this.#backlog.expiryFrom)
  }

  #makeRoom(): void {
    const { messagesMax, bytesMax } = this.policy
    while (this.#limitedCount >= messagesMax || this.bytes >= bytesMax) {
      const oldest = this.#oldest()
      const dropped = oldest ?? this.#delayed.pop()
      if (dropped === undefined) return
      if (oldest !== undefined) this.#ready.remove(oldest)
      this.counters.dropped += 1
      this.#forget(dropped)
    }
  }

  /** The oldest of the lowest priority that waits; undefined if there is none, or it has to be read first. */
  #oldest(): QueuedDelivery | undefined {
    this.#ready.merge()
    for (let priority = 0; priority <= priorityMax; priority += 1) {
      const isBehind = this.#ready.lists[priority]?.head === undefined && this.#backlog.has(priority)
      if (isBehind && !this.#surfaceSome(priority, 1)) return undefined
      const head = this.#ready.lists[priority]?.head
      if (head !== undefined) return head
    }
    return undefined
  }

  /** What `messagesMax` limits: all that it holds; of an unnamed topic subscriber, what has not been handed over. */
  get #limitedCount(): number {
    const isSubscriber = this.subscription === undefined && this.address.kind === 'topic'
    return isSubscriber ? this.count - this.#unsettledCount : this.count
  }

  #account(delivery: QueuedDelivery): void {
    const { extraBytes } = delivery
    this.#bytes += delivery.message.size + extraBytes
    this.#context.memory.hold(delivery.message)
    if (extraBytes > 0) this.#context.memory.add(extraBytes)
  }

  #unaccount(delivery: QueuedDelivery): void {
    const { extraBytes } = delivery
    this.#bytes -= delivery.message.size + extraBytes
    this.#context.memory.release(delivery.message)
    if (extraBytes > 0) this.#context.memory.subtract(extraBytes)
  }

  /** One message less: senders at the gate may go on. */
  #settled(): void {
    if (!this.gate.isShut) return
    const { messagesMax, bytesMax } = this.policy
    if (this.count <= messagesMax * lowWater && this.bytes <= bytesMax * lowWater) this.gate.open()
  }

  #group(): void {
    if (this.#groups !== undefined) return
    this.#groups = new Groups()
    this.#becomeSelective()
  }

  #becomeSelective(): void {
    if (this.#isSelective) return
    this.#isSelective = true
    for (const feed of this.#feeds) this.#walk(feed)
  }

  #walk(feed: Feed): void {
    if (feed.walker !== undefined) return
    feed.walker = new Walker()
    this.#ready.watch(feed.walker)
  }

  #restartWalkers(): void {
    for (const feed of this.#feeds) feed.walker?.reset()
    this.#context.turn.markDispatch(this)
  }

  #chooseExclusive(): void {
    let chosen: Feed | undefined
    for (const feed of this.#feeds) {
      if (feed.isExclusive && (chosen === undefined || feed.priority > chosen.priority)) chosen = feed
    }
    this.#exclusive = chosen
    if (this.#ready.count > 0) this.#context.turn.markDispatch(this)
  }

  /** True if the policy wants the message in the store. */
  #isKept(message: Message): boolean {
    const { persistent } = this.policy
    return this.#spec !== undefined && persistent !== 'never' && (message.durable || persistent === 'always')
  }

  #nextSequence(): number {
    this.#lastSequence += 1
    return this.#lastSequence
  }

  #arm(now: number): void {
    const delayed = this.#delayed.peek()?.notBefore ?? Number.POSITIVE_INFINITY
    const at = Math.min(delayed, this.#expiry.dueAt(now))
    if (at !== Number.POSITIVE_INFINITY) this.#deadline.set(Math.max(at, now))
  }

  /** Messages in a queue of the dead stay there whatever consumers say of them. */
  #isGrave(): boolean {
    const first = this.address.levels[0]
    return this.address.kind === 'queue' && (first === 'DLQ' || first === 'ExpiryQueue')
  }
}
