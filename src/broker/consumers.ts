import { Browser } from './browser.ts'
import type { Context } from './context.ts'
import type { QueuedDelivery } from './delivery.ts'
import { isExpired } from './expiry.ts'
import { Groups } from './groups.ts'
import type { Queue } from './queue.ts'
import { type Feed, Rotation } from './rotation.ts'
import { priorityMax, type Waiting } from './waiting.ts'
import { Walker } from './walker.ts'

const noBrowsers: readonly Browser[] = []

/** The consumers and browsers of one queue, and which of them is given what. */
export class Consumers {
  readonly #context: Context
  readonly #queue: Queue
  readonly #waiting: Waiting
  readonly #rotation: Rotation
  #feeds: Feed[]
  #browsers: readonly Browser[]
  #groups: Groups | undefined
  #exclusive: Feed | undefined
  /** True once a selector, a group or a refusal keeps it from simply serving the head. */
  #isSelective: boolean
  #isDraining: boolean

  constructor(context: Context, queue: Queue, waiting: Waiting) {
    this.#context = context
    this.#queue = queue
    this.#waiting = waiting
    this.#rotation = new Rotation()
    this.#feeds = []
    this.#browsers = noBrowsers
    this.#groups = undefined
    this.#exclusive = undefined
    this.#isSelective = false
    this.#isDraining = false
  }

  /** Consumers; browsers are none. */
  get count(): number {
    return this.#feeds.length
  }

  /** All of them, browsers too. */
  get feeds(): readonly Feed[] {
    if (this.#browsers.length === 0) return this.#feeds
    return [...this.#feeds, ...this.#browsers.map((browser) => browser.feed)]
  }

  /** Adds a consumer. */
  attach(feed: Feed): void {
    // Most queues have one: an array that grows begins with room for many.
    if (this.#feeds.length === 0) this.#feeds = [feed]
    else this.#feeds.push(feed)
    if (feed.isExclusive) this.#chooseExclusive()
    if (feed.selector !== undefined || this.#groups !== undefined) this.becomeSelective()
    if (this.#isSelective) this.#walk(feed)
    this.offer(feed)
  }

  /** Removes a consumer whose unsettled deliveries have gone back. */
  detach(feed: Feed): void {
    const index = this.#feeds.indexOf(feed)
    if (index < 0) return
    this.#feeds.splice(index, 1)
    this.#rotation.withdraw(feed)
    if (feed.walker !== undefined) this.#waiting.unwatch(feed.walker)
    if (feed === this.#exclusive) this.#chooseExclusive()
    this.#groups?.release(feed)
    if (this.#isSelective) this.#restartWalkers()
  }

  attachBrowser(feed: Feed): void {
    const browser = new Browser(feed, this.#queue, this.#context, this.#waiting.lastSequence)
    this.#browsers = [...this.#browsers, browser]
    this.#waiting.watch(browser.walker)
    this.#context.turn.markDispatch(this.#queue)
  }

  detachBrowser(feed: Feed): void {
    for (const browser of this.#browsers) if (browser.feed === feed) this.#waiting.unwatch(browser.walker)
    this.#browsers = this.#browsers.filter((browser) => browser.feed !== feed)
  }

  /** A feed has credit again. */
  offer(feed: Feed): void {
    if (!feed.isBrowser) this.#rotation.offer(feed)
    if (this.#waiting.readyCount > 0 || this.#browsers.length > 0 || this.#isDraining)
      this.#context.turn.markDispatch(this.#queue)
  }

  /** A feed wants to be told when nothing more waits for it. */
  drain(): void {
    this.#isDraining = true
    this.#context.turn.markDispatch(this.#queue)
  }

  /** Messages of groups come: each group goes to one consumer at a time. */
  group(): void {
    if (this.#groups !== undefined) return
    this.#groups = new Groups()
    this.becomeSelective()
  }

  /** From now on each consumer walks through the queue for what is for it. */
  becomeSelective(): void {
    if (this.#isSelective) return
    this.#isSelective = true
    for (const feed of this.#feeds) this.#walk(feed)
  }

  /** Hands out what waits to those who can take it, looking at up to `budget` messages. What is left of the budget. */
  dispatch(budget: number): number {
    let left = this.#queue.isPaused || this.#queue.isDeleted ? budget : this.#serve(budget)
    if (this.#browsers.length > 0) left = this.#show(left)
    if (this.#isDraining && left > 0) this.#tellDrained()
    return left
  }

  #serve(budget: number): number {
    if (this.#waiting.readyCount === 0 || this.#feeds.length === 0) return budget
    this.#waiting.surface()
    const now = this.#context.clock.now()
    return this.#isSelective ? this.#serveSelectively(budget, now) : this.#serveHead(budget, now)
  }

  /** The plain case: the head of the highest priority goes to the next consumer. */
  #serveHead(budget: number, now: number): number {
    let left = budget
    for (let priority = priorityMax; priority >= 0; priority -= 1) {
      const list = this.#waiting.lists[priority]
      for (let delivery = list?.head; delivery !== undefined && !this.#queue.isPaused; delivery = list?.head) {
        // A consumer may have brought selectors or groups in; they begin with the next turn.
        if (left <= 0 || this.#isSelective) return 0
        left -= 1
        if (isExpired(delivery, now)) {
          this.#queue.expire(delivery)
          continue
        }
        if (delivery.isStored && !this.#waiting.reaches(delivery.sequence)) return left
        const feed = this.#nextFeed()
        if (feed === undefined) return left
        this.#queue.hand(delivery, feed.subscription)
      }
      // What is still being read comes before lower priorities.
      if (this.#waiting.isBehind(priority)) return this.#waiting.surface() ? 0 : left
    }
    return left
  }

  /** Selectors or groups: each consumer in turn walks on to the next message that is for it. */
  #serveSelectively(budget: number, now: number): number {
    let left = budget
    for (const feed of this.#feeds) if (feed.subscription.isReady) this.#rotation.offer(feed)
    for (let feed = this.#nextFeed(); feed !== undefined && !this.#queue.isPaused; feed = this.#nextFeed()) {
      if (left <= 0) return 0
      const found = this.#find(feed, left, now)
      left = found.left
      if (found.delivery !== undefined) this.#queue.hand(found.delivery, feed.subscription)
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
    if (subscription.credit === 0 || this.#queue.isPaused || this.#queue.isDeleted) return true
    if (feed.isBrowser || subscription.session.isSuspended) return false
    if (this.#waiting.readyCount === 0 || (this.#exclusive !== undefined && this.#exclusive !== feed)) return true
    return this.#isSelective && feed.isDry
  }

  #show(budget: number): number {
    const view = { lists: this.#waiting.lists, backlog: this.#waiting.backlog, now: this.#context.clock.now() }
    let left = budget
    for (const browser of this.#browsers) {
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
        const list = this.#waiting.lists[priority]
        if (list === undefined) continue
        for (let next = walker.step(priority, list); next !== undefined; next = walker.step(priority, list)) {
          left -= 1
          if (isExpired(next, now)) {
            this.#queue.expire(next)
            // That may have freed a sender, and that have ended the consumer.
            if (!feed.subscription.isReady) return { delivery: undefined, left }
          } else if (next.isStored && !this.#waiting.reaches(next.sequence)) {
            walker.leaving(next)
            return { delivery: undefined, left }
          } else if (this.#isFor(next, feed)) return { delivery: next, left }
          if (left <= 0) return { delivery: undefined, left: 0 }
        }
      } while (this.#waiting.surfaceMore(priority))
      // What is still being read comes before lower priorities.
      if (this.#waiting.isBehind(priority)) return { delivery: undefined, left }
    }
    feed.isDry = true
    return { delivery: undefined, left }
  }

  #isFor(delivery: QueuedDelivery, feed: Feed): boolean {
    const { message } = delivery
    if (feed.selector !== undefined && !feed.selector.matches(message)) return false
    if (delivery.refusers?.has(feed.subscription) === true) return false
    return message.groupId === undefined || this.#groups === undefined || this.#groups.claim(message.groupId, feed)
  }

  #nextFeed(): Feed | undefined {
    const exclusive = this.#exclusive
    if (exclusive === undefined) return this.#rotation.next()
    return exclusive.subscription.isReady ? exclusive : undefined
  }

  #walk(feed: Feed): void {
    if (feed.walker !== undefined) return
    feed.walker = new Walker()
    this.#waiting.watch(feed.walker)
  }

  #restartWalkers(): void {
    for (const feed of this.#feeds) feed.walker?.reset()
    this.#context.turn.markDispatch(this.#queue)
  }

  #chooseExclusive(): void {
    let chosen: Feed | undefined
    for (const feed of this.#feeds) {
      if (feed.isExclusive && (chosen === undefined || feed.priority > chosen.priority)) chosen = feed
    }
    this.#exclusive = chosen
    if (this.#waiting.residentCount > 0) this.#context.turn.markDispatch(this.#queue)
  }
}
