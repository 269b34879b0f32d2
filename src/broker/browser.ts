import type { Backlog, Surfaced } from './backlog.ts'
import type { Context } from './context.ts'
import { QueuedDelivery } from './delivery.ts'
import type { DeliveryList } from './delivery-list.ts'
import { isExpired } from './expiry.ts'
import type { Queue } from './queue.ts'
import type { Feed } from './rotation.ts'
import { Walker } from './walker.ts'

/** Messages of the backlog read at a time. */
const pageCount = 256

/** Where a browser looks, and when. */
interface View {
  readonly lists: readonly (DeliveryList | undefined)[]
  readonly backlog: Backlog
  readonly now: number
}

/** A look through a queue that disturbs nothing: what was waiting when it began, highest priority first, then the end. */
export class Browser {
  readonly feed: Feed
  readonly walker: Walker
  /** What joined the queue later is not shown, so that a busy queue does not keep a browser for ever. */
  readonly #lastOrder: number
  /** The order of the last message looked at, for each priority: one that comes back is not shown again. */
  readonly #seenOrders: number[]
  readonly #queue: Queue
  readonly #context: Context
  /** What has been read of the backlog, for each priority, and whether that was the last of it. */
  readonly #pages: Surfaced[][]
  readonly #isRead: boolean[]
  #isReading: boolean
  /** The order of what was seen before the last one of that priority, and that one as it was read, if it was. */
  #orderBefore: number
  #ofPage: Surfaced | undefined

  constructor(feed: Feed, queue: Queue, context: Context, lastOrder: number) {
    this.feed = feed
    this.#queue = queue
    this.#context = context
    this.#pages = []
    this.#isRead = []
    this.#isReading = false
    this.#orderBefore = 0
    this.#ofPage = undefined
    this.walker = new Walker()
    this.#lastOrder = lastOrder
    this.#seenOrders = new Array<number>(10).fill(Number.NEGATIVE_INFINITY)
  }

  /**
   * Shows what credit allows, looking at up to `budget` messages, and ends the subscription after the last one, with credit left or
   * without.
   */
  serve(view: View, budget: number): number {
    const { subscription, selector } = this.feed
    let left = budget
    while (!subscription.isEnded && !subscription.session.isSuspended && left > 0) {
      const seen = this.#next(view)
      if (seen === 'reading') return left
      if (seen === undefined) {
        subscription.end()
        return left
      }
      left -= 1
      if (isExpired(seen, view.now)) continue
      if (selector !== undefined && !selector.matches(seen.message)) continue
      if (subscription.credit === 0) {
        this.#unsee(seen)
        return left
      }
      subscription.show(copyOf(seen))
    }
    return left
  }

  /** Leaves the last one that it looked at for another time. */
  #unsee(seen: QueuedDelivery): void {
    const { priority } = seen.message
    this.#seenOrders[priority] = this.#orderBefore
    if (this.#ofPage !== undefined) this.#pages[priority]?.unshift(this.#ofPage)
    else this.walker.leaving(seen)
  }

  #next({ lists, backlog }: View): QueuedDelivery | undefined | 'reading' {
    for (let priority = lists.length - 1; priority >= 0; priority -= 1) {
      const waiting = this.#nextWaiting(priority, lists[priority])
      if (waiting !== undefined) return waiting
      const behind = this.#nextBehind(priority, backlog)
      if (behind !== undefined) return behind
    }
    return undefined
  }

  #nextWaiting(priority: number, list: DeliveryList | undefined): QueuedDelivery | undefined {
    if (list === undefined) return undefined
    const seenOrder = this.#seenOrders[priority] ?? 0
    let next = this.walker.step(priority, list)
    while (next !== undefined && next.order <= seenOrder) next = this.walker.step(priority, list)
    if (next === undefined || next.order > this.#lastOrder) return undefined
    this.#see(next, seenOrder, undefined)
    return next
  }

  /** The next of the backlog, read a page at a time. */
  #nextBehind(priority: number, backlog: Backlog): QueuedDelivery | undefined | 'reading' {
    const seenOrder = this.#seenOrders[priority] ?? 0
    const page = this.#pages[priority]
    let next = page?.shift()
    // What has surfaced since it was read, and waits, has just been looked for in its list.
    while (next !== undefined && (next.sequence <= seenOrder || !backlog.holds(next))) next = page?.shift()
    if (next !== undefined) {
      if (next.sequence > this.#lastOrder) return undefined
      const delivery = deliveryOf(next, this.#queue)
      this.#see(delivery, seenOrder, next)
      return delivery
    }
    if (!backlog.has(priority) || this.#isRead[priority] === true) return undefined
    if (this.#isReading) return 'reading'
    this.#isReading = true
    backlog.peek(priority, Math.max(seenOrder, 0), pageCount).then((page) => {
      this.#isReading = false
      const now = this.#context.clock.now()
      this.#pages[priority] = page.filter(({ notBefore }) => notBefore <= now)
      this.#isRead[priority] = page.length < pageCount || (page.at(-1)?.sequence ?? 0) > this.#lastOrder
      this.#context.turn.markDispatch(this.#queue)
    }, this.#context.readFailed)
    return 'reading'
  }

  #see(delivery: QueuedDelivery, orderBefore: number, ofPage: Surfaced | undefined): void {
    this.#seenOrders[delivery.message.priority] = delivery.order
    this.#orderBefore = orderBefore
    this.#ofPage = ofPage
  }
}

function deliveryOf(surfaced: Surfaced, queue: Queue): QueuedDelivery {
  const delivery = new QueuedDelivery(queue, surfaced.message, surfaced.sequence)
  delivery.deliveryCount = surfaced.deliveryCount
  delivery.redelivered = surfaced.redelivered
  return delivery
}

function copyOf(seen: QueuedDelivery): QueuedDelivery {
  const copy = new QueuedDelivery(seen.queue, seen.message, seen.sequence)
  copy.deliveryCount = seen.deliveryCount
  copy.redelivered = seen.redelivered
  copy.refusers = seen.refusers
  copy.state = 'settled'
  return copy
}
