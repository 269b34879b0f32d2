import type { Message } from '../message.ts'
import type { OwnerRecord, StoredEntry, WriteBatch } from '../store/store.ts'
import { Backlog, type Surfaced } from './backlog.ts'
import type { Context } from './context.ts'
import { Deadline } from './deadlines.ts'
import { QueuedDelivery, retainedTime } from './delivery.ts'
import type { DeliveryList } from './delivery-list.ts'
import { Expiry } from './expiry.ts'
import { Heap } from './heap.ts'
import type { Queue } from './queue.ts'
import { Ready } from './ready.ts'
import type { Walker } from './walker.ts'

export const priorityMax = 9
/** How far ahead of what is delivered the store is told that consumers may have seen it. */
const horizonStep = 8192

/** Messages of the backlog that are looked at at a time. */
const walkCount = 256

/** What becomes of a waiting message that is looked at: it stays, it has been taken over, or it stays and that is enough. */
export type Visit = (delivery: QueuedDelivery) => 'leave' | 'take' | 'stop'

/** A look at all that waits in one priority. */
interface Walk {
  readonly priority: number
  readonly visit: Visit
  /** The order of the last one that was looked at. */
  last: number
  isOver: boolean
}

/** What in a queue waits for a time, and what calls then. */
interface Times {
  readonly delayed: Heap<QueuedDelivery>
  readonly expiry: Expiry
  readonly deadline: Deadline
}

/**
 * The messages of one queue that no consumer has: those that wait as deliveries, the backlog behind them, and those whose time has
 * not come.
 */
export class Waiting {
  readonly backlog: Backlog
  readonly #context: Context
  readonly #queue: Queue
  readonly #ready: Ready
  /** Made when something is delayed or can expire: most queues never have any. */
  #times: Times | undefined
  #lastSequence: number
  /** Stored deliveries up to this sequence may be handed out, and up to which one the store has been asked. */
  #horizon: number
  #horizonAsked: number
  /** By batch that is not on disk yet, the first sequence in it that waits for that; and the newest such batch. */
  #heldFrom: number[] | undefined
  #heldBatch: WriteBatch | undefined
  /** The least `order` given to a retained message, which goes before everything; at most 0. */
  #firstOrder: number
  /** Done when nobody looks through it; undefined: nobody ever has. */
  #walking: Promise<void> | undefined
  /** True from the time when a sweep of the stored backlog is due until it is done. */
  #isSweeping: boolean

  constructor(context: Context, queue: Queue) {
    this.backlog = new Backlog(context, queue)
    this.#context = context
    this.#queue = queue
    this.#ready = new Ready()
    this.#times = undefined
    this.#lastSequence = 0
    this.#horizon = 0
    this.#horizonAsked = 0
    this.#heldFrom = undefined
    this.#heldBatch = undefined
    this.#firstOrder = 0
    this.#walking = undefined
    this.#isSweeping = false
  }

  get count(): number {
    return this.#ready.count + this.backlog.count + this.delayedCount
  }

  /** Those whose time has come. */
  get readyCount(): number {
    return this.#ready.count + this.backlog.count
  }

  get delayedCount(): number {
    return this.#times?.delayed.size ?? 0
  }

  /** Those whose time has come and that have a delivery. */
  get residentCount(): number {
    return this.#ready.count
  }

  /** The last sequence that was given out. */
  get lastSequence(): number {
    return this.#lastSequence
  }

  /** By priority, in order; to be served from the head. */
  get lists(): readonly (DeliveryList | undefined)[] {
    return this.#ready.lists
  }

  /** Whoever walks through the lists is told of what changes under it. */
  watch(walker: Walker): void {
    this.#ready.watch(walker)
  }

  unwatch(walker: Walker): void {
    this.#ready.unwatch(walker)
  }

  /** Puts what has come back into its old places. */
  merge(): void {
    this.#ready.merge()
  }

  /** The deliveries there are, in order of dispatch. What is yielded may be removed. */
  all(): Iterable<QueuedDelivery> {
    return this.#ready.all()
  }

  remove(delivery: QueuedDelivery): void {
    this.#ready.remove(delivery)
  }

  /** Takes everything out, the backlog in the store too; gives each delivery to `forget`. Returns how many. */
  clear(forget: (delivery: QueuedDelivery) => void): number {
    let count = this.backlog.clear(this.#lastSequence)
    for (const delivery of this.#ready.all()) {
      this.#ready.remove(delivery)
      forget(delivery)
      count += 1
    }
    for (const delivery of this.#times?.delayed.takeAll() ?? []) {
      forget(delivery)
      count += 1
    }
    return count
  }

  /** The queue is deleted: nothing is due any more. */
  close(): void {
    this.#times?.deadline.clear()
  }

  /** The sequence of one more message. */
  nextSequence(): number {
    this.#lastSequence += 1
    return this.#lastSequence
  }

  /** Takes a new message into the queue: to its time, to the backlog, or to those that wait. */
  join(message: Message, sequence: number, isStored: boolean, redelivered = false): void {
    const { priority } = message
    const isDelayed = message.deliverAt > 0 && message.deliverAt > this.#context.clock.now()
    if (!isDelayed && this.#isFull(priority)) {
      this.backlog.push(message, sequence, isStored, redelivered)
      this.#noteExpiry(message)
      if (!this.#queue.dispatchMarked) this.#context.turn.markDispatch(this.#queue)
      return
    }
    const delivery = new QueuedDelivery(this.#queue, message, sequence)
    delivery.isStored = isStored
    delivery.redelivered = redelivered
    this.#queue.account(delivery)
    if (!isDelayed) {
      this.#append(delivery)
      return
    }
    if (isStored) this.backlog.skip(priority, sequence)
    this.delay(delivery, message.deliverAt)
  }

  /**
   * Puts a copy of the topic's retained message before anything else, for a new subscription. Returns its sequence. After a restart
   * it stands where that does.
   */
  putRetained(message: Message, isStored: boolean): number {
    const sequence = this.nextSequence()
    const delivery = new QueuedDelivery(this.#queue, message, sequence)
    delivery.isRetained = true
    delivery.isStored = isStored
    if (isStored) this.backlog.skip(message.priority, sequence)
    if (message.groupId !== undefined) this.#queue.group()
    this.#firstOrder -= 1
    delivery.order = this.#firstOrder
    this.#queue.account(delivery)
    this.#noteExpiry(message)
    this.#ready.giveBack(delivery)
    this.#context.turn.markDispatch(this.#queue)
    return sequence
  }

  /** Puts a delivery that has been handed out back in its place. */
  giveBack(delivery: QueuedDelivery): void {
    delivery.redelivered = true
    delivery.state = 'ready'
    this.#noteExpiry(delivery.message)
    this.#ready.giveBack(delivery)
    this.#context.turn.markDispatch(this.#queue)
  }

  /** Has a delivery wait for its time. */
  delay(delivery: QueuedDelivery, notBefore: number): void {
    delivery.state = 'delayed'
    delivery.notBefore = notBefore
    this.#timed().delayed.push(delivery)
    this.#arm(this.#context.clock.now())
  }

  /** Fills a queue that the store has kept; if the store does not page, {@link restoreEntry} does. */
  restore(record: OwnerRecord, mayExpire: boolean): void {
    this.#lastSequence = Math.max(this.#lastSequence, record.lastSequence)
    if (!this.#context.isPaging) return
    let bytes = record.bytes
    for (const [priority, count] of record.counts.entries()) {
      if (count === 0) continue
      this.backlog.restore({ priority, count, bytes, lastSequence: record.lastSequence, mayExpire })
      bytes = 0
    }
    this.#noteAt(this.backlog.expiryFrom)
    this.#arm(this.#context.clock.now())
  }

  /** Puts back one entry that the store has kept; in the order of sequences. */
  restoreEntry(entry: StoredEntry): void {
    this.#restoreSurfaced({ ...entry, isStored: true })
  }

  /** Drops the oldest of the lowest priority that waits, or else the first of those that are delayed. False if there is none. */
  dropOldest(): boolean {
    this.#ready.merge()
    for (let priority = 0; priority <= priorityMax; priority += 1) {
      const head = this.#ready.lists[priority]?.head
      if (head !== undefined) {
        this.#ready.remove(head)
        this.#queue.forget(head)
      } else if (this.backlog.has(priority)) this.backlog.drop(priority)
      else continue
      return true
    }
    const delayed = this.#times?.delayed.pop()
    if (delayed !== undefined) this.#queue.forget(delayed)
    return delayed !== undefined
  }

  /**
   * Looks at everything that waits, in order of dispatch, what is in the store a page at a time. What `visit` wants it takes over, and
   * that is here no more. One after the other, if several ask.
   */
  walk(visit: Visit): Promise<void> {
    const walk = (this.#walking ?? Promise.resolve()).then(() => this.#walk(visit))
    this.#walking = walk.catch(() => undefined)
    return walk
  }

  /** True if more of that priority wait behind those that have a delivery. */
  isBehind(priority: number): boolean {
    return this.backlog.has(priority)
  }

  /** Fills those that have a delivery up from the backlog. True if any has come. */
  surface(): boolean {
    let hasCome = false
    if (this.backlog.count === 0) return hasCome
    for (let priority = priorityMax; priority >= 0; priority -= 1) {
      const waiting = this.#ready.lists[priority]?.count ?? 0
      if (this.#surfaceSome(priority, this.#context.window.messagesLow - waiting)) hasCome = true
    }
    return hasCome
  }

  /** Brings more of one priority than waits already, for a consumer that has looked at all that waits. */
  surfaceMore(priority: number): boolean {
    return this.backlog.has(priority) && this.#surfaceSome(priority, this.#context.window.messagesLow)
  }

  /** Nothing stored from this sequence on is handed out before the batch of this turn is on disk. */
  holdUntilStored(sequence: number): void {
    const batch = this.#context.batch()
    if (batch === this.#heldBatch) return
    this.#heldBatch = batch
    this.#heldFrom ??= []
    this.#heldFrom.push(sequence)
    this.#context.afterCommit(() => {
      this.#heldFrom?.shift()
      this.#context.turn.markDispatch(this.#queue)
    })
  }

  /**
   * True if the store knows on disk that a consumer may see this sequence, so that after a crash it comes back marked as
   * redelivered. Asks for more in good time; if it must be waited for, the queue is marked then.
   */
  reaches(sequence: number): boolean {
    const heldFrom = this.#heldFrom?.[0]
    if (heldFrom !== undefined && sequence >= heldFrom) return false
    if (!this.#context.isPaging) return true
    if (sequence + horizonStep / 2 > this.#horizonAsked) {
      const asked = sequence + horizonStep
      this.#horizonAsked = asked
      this.#context.batch().horizon(this.#queue.ownerId(), asked)
      this.#context.afterCommit(() => {
        this.#horizon = Math.max(this.#horizon, asked)
        this.#context.turn.markDispatch(this.#queue)
      })
    }
    return sequence <= this.#horizon
  }

  async #walk(visit: Visit): Promise<void> {
    for (let priority = priorityMax; priority >= 0; priority -= 1) {
      const walk = { priority, visit, last: Number.NEGATIVE_INFINITY, isOver: false }
      this.#walkResidents(walk)
      while (!walk.isOver && this.backlog.has(priority)) {
        const page = await this.backlog.peek(priority, Math.max(walk.last, 0), walkCount)
        // Some of it may have been brought up meanwhile, and so has all before that.
        this.#walkResidents(walk)
        this.#walkPage(walk, page)
        if (page.length < walkCount) break
      }
      if (walk.isOver) return
    }
  }

  #walkResidents(walk: Walk): void {
    this.#ready.merge()
    if ((this.#ready.lists[walk.priority]?.tail?.order ?? walk.last) <= walk.last) return
    for (const delivery of this.#ready.listed(walk.priority)) {
      if (walk.isOver) return
      if (delivery.order <= walk.last || delivery.state !== 'ready') continue
      walk.last = delivery.order
      const verdict = walk.visit(delivery)
      if (verdict === 'take') this.#queue.release(delivery)
      walk.isOver = verdict === 'stop'
    }
  }

  #walkPage(walk: Walk, page: readonly Surfaced[]): void {
    for (const surfaced of page) {
      if (walk.isOver) return
      if (surfaced.sequence <= walk.last) continue
      walk.last = surfaced.sequence
      if (surfaced.notBefore > this.#context.clock.now() || !this.backlog.holds(surfaced)) continue
      const verdict = walk.visit(this.#deliveryOf(surfaced))
      walk.isOver = verdict === 'stop'
      if (verdict !== 'take') continue
      this.backlog.take(surfaced)
      this.#queue.ease()
    }
  }

  /** Called by the deadlines: something delayed is due, or it is time to look for expired messages. */
  due(now: number): void {
    const { delayed, expiry } = this.#timed()
    const mature: QueuedDelivery[] = []
    for (let next = delayed.peek(); next !== undefined && next.notBefore <= now; next = delayed.peek()) {
      delayed.pop()
      mature.push(next)
    }
    mature.sort((left, right) => left.notBefore - right.notBefore || left.sequence - right.sequence)
    for (const delivery of mature) this.#mature(delivery)
    expiry.sweep(now, (delivery) => this.#queue.expire(delivery))
    if (this.backlog.count > 0) this.#sweepBacklog(now)
    this.#arm(now)
  }

  /** True if a new message has to go to the backlog: there is one, or the window is full. Groups and selectors need it whole. */
  #isFull(priority: number): boolean {
    if (this.backlog.has(priority)) return true
    const waiting = this.#ready.lists[priority]?.count ?? 0
    const { messages, bytes } = this.#context.window
    return waiting >= messages || (this.#queue.residentBytes >= bytes && waiting > 0)
  }

  #surfaceSome(priority: number, wanted: number): boolean {
    if (!this.backlog.has(priority)) return false
    let count = 0
    while (count < wanted) {
      const surfaced = this.backlog.shift(priority)
      if (surfaced === undefined) break
      this.#restoreSurfaced(surfaced)
      count += 1
    }
    return count > 0
  }

  #restoreSurfaced(surfaced: Surfaced): void {
    const delivery = this.#deliveryOf(surfaced)
    this.#queue.account(delivery)
    if (surfaced.notBefore > this.#context.clock.now()) this.delay(delivery, surfaced.notBefore)
    else this.#append(delivery)
  }

  #deliveryOf(surfaced: Surfaced): QueuedDelivery {
    const delivery = new QueuedDelivery(this.#queue, surfaced.message, surfaced.sequence)
    delivery.isStored = surfaced.isStored
    delivery.deliveryCount = surfaced.deliveryCount
    delivery.redelivered = surfaced.redelivered
    delivery.isRetained = surfaced.notBefore === retainedTime
    return delivery
  }

  #mature(delivery: QueuedDelivery): void {
    delivery.notBefore = 0
    if (delivery.redelivered) {
      this.giveBack(delivery)
      return
    }
    const { message, isStored } = delivery
    const sequence = this.nextSequence()
    if (!this.#isFull(message.priority)) {
      delivery.order = sequence
      delivery.state = 'ready'
      this.#append(delivery)
      return
    }
    // Behind a backlog it takes its new place in the store too, where the backlog is read in the order of sequences.
    if (isStored) {
      const owner = this.#queue.ownerId()
      this.#context.batch().move(owner, message.priority, delivery.sequence, owner, sequence, message)
    }
    delivery.state = 'settled'
    this.backlog.push(message, sequence, isStored, false)
    this.#queue.unaccount(delivery)
    this.#noteExpiry(message)
    this.#context.turn.markDispatch(this.#queue)
  }

  #append(delivery: QueuedDelivery): void {
    const { message } = delivery
    if (message.groupId !== undefined) this.#queue.group()
    this.#ready.push(delivery)
    this.#noteExpiry(message)
    if (!this.#queue.dispatchMarked) this.#context.turn.markDispatch(this.#queue)
  }

  #noteExpiry(message: Message): void {
    if (message.expiresAt > 0 && this.#timed().expiry.note(message)) this.#arm(this.#context.clock.now())
  }

  /** Nothing of the backlog expires before this time. */
  #noteAt(time: number): void {
    if (time !== Number.POSITIVE_INFINITY) this.#timed().expiry.noteAt(time)
  }

  #timed(): Times {
    this.#times ??= {
      delayed: new Heap<QueuedDelivery>((delivery) => delivery.notBefore),
      expiry: new Expiry(this.#ready),
      deadline: new Deadline(this.#context.deadlines, this),
    }
    return this.#times
  }

  #sweepBacklog(now: number): void {
    for (const surfaced of this.backlog.takeExpired(now)) this.#expireSurfaced(surfaced)
    if (!this.#isSweeping && this.#context.isPaging && this.backlog.expiryFrom <= now) this.#sweepStored(now)
    this.#noteAt(this.backlog.expiryFrom)
  }

  /** What is in the store is looked through when nobody else walks through it. */
  #sweepStored(now: number): void {
    this.#isSweeping = true
    const walking = this.#walking ?? Promise.resolve()
    const sweep = walking.then(() => this.backlog.sweepStored(now, (surfaced) => this.#expireSurfaced(surfaced)))
    this.#walking = sweep.then(() => this.#swept(), this.#context.readFailed)
  }

  #swept(): void {
    this.#isSweeping = false
    if (this.backlog.count > 0) this.#noteAt(this.backlog.expiryFrom)
    this.#arm(this.#context.clock.now())
  }

  #expireSurfaced(surfaced: Surfaced): void {
    const delivery = this.#deliveryOf(surfaced)
    this.#queue.account(delivery)
    this.#queue.die(delivery, { grave: 'ExpiryQueue', reason: 'expired' })
  }

  #arm(now: number): void {
    if (this.#times === undefined) return
    const { deadline, delayed, expiry } = this.#times
    const at = Math.min(delayed.peek()?.notBefore ?? Number.POSITIVE_INFINITY, expiry.dueAt(now))
    if (at !== Number.POSITIVE_INFINITY) deadline.set(Math.max(at, now))
  }
}
