import { Ring } from './ring.ts'
import type { Selector } from './selector/selector.ts'
import type { BrokerSubscription } from './subscription.ts'
import type { Walker } from './walker.ts'

export interface FeedOptions {
  readonly selector?: Selector | undefined
  readonly priority?: number | undefined
  readonly exclusive?: boolean | undefined
  readonly browse?: boolean | undefined
}

/** One subscription's place at one queue; a pattern subscription has one at each queue that it covers. */
export class Feed {
  readonly subscription: BrokerSubscription
  readonly priority: number
  readonly isExclusive: boolean
  readonly isBrowser: boolean
  readonly selector: Selector | undefined
  isInRotation: boolean
  /** Its own way through the queue, while the queue cannot simply serve its head. */
  walker: Walker | undefined
  /** True if its walker has found nothing more for it. */
  isDry: boolean
  /** True while its subscription waits to hear that nothing more waits here. */
  isDraining: boolean

  constructor(subscription: BrokerSubscription, options: FeedOptions) {
    this.subscription = subscription
    this.priority = options.priority ?? 0
    this.isExclusive = options.exclusive ?? false
    this.isBrowser = options.browse ?? false
    this.selector = options.selector
    this.isInRotation = false
    this.walker = undefined
    this.isDry = false
    this.isDraining = false
  }
}

interface Level {
  readonly priority: number
  readonly feeds: Ring<Feed>
}

const noLevels: readonly Level[] = []

/** Whose turn it is: feeds with credit, the highest consumer priority first, round-robin among equals. */
export class Rotation {
  /** The one that stands in line, as long as there has never been another: most queues have one consumer. */
  #only: Feed | undefined
  #levels: readonly Level[]

  constructor() {
    this.#only = undefined
    this.#levels = noLevels
  }

  /** Lines the feed up, unless it stands there already. */
  offer(feed: Feed): void {
    if (feed.isInRotation) return
    feed.isInRotation = true
    if (this.#only === undefined && this.#levels === noLevels) {
      this.#only = feed
      return
    }
    if (this.#only !== undefined) this.#level(this.#only.priority).feeds.push(this.#only)
    this.#only = undefined
    this.#level(feed.priority).feeds.push(feed)
  }

  withdraw(feed: Feed): void {
    if (!feed.isInRotation) return
    feed.isInRotation = false
    if (this.#only === feed) this.#only = undefined
    else this.#level(feed.priority).feeds.remove(feed)
  }

  /** The next feed that can take a message; it goes to the end of its line. Feeds without credit drop out. */
  next(): Feed | undefined {
    const only = this.#only
    if (only !== undefined) {
      if (only.subscription.isReady) return only
      this.withdraw(only)
      return undefined
    }
    for (const level of this.#levels) {
      const feed = this.#nextOf(level.feeds)
      if (feed !== undefined) return feed
    }
    return undefined
  }

  #nextOf(feeds: Ring<Feed>): Feed | undefined {
    for (let feed = feeds.first; feed !== undefined; feed = feeds.first) {
      if (feed.subscription.isReady) {
        if (feeds.length > 1) {
          feeds.shift()
          feeds.push(feed)
        }
        return feed
      }
      feeds.shift()
      feed.isInRotation = false
    }
    return undefined
  }

  #level(priority: number): Level {
    const found = this.#levels.find((level) => level.priority === priority)
    if (found !== undefined) return found
    const level = { priority, feeds: new Ring<Feed>() }
    this.#levels = [...this.#levels, level].sort((left, right) => right.priority - left.priority)
    return level
  }
}
