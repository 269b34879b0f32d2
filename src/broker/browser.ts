import { QueuedDelivery } from './delivery.ts'
import type { DeliveryList } from './delivery-list.ts'
import type { Feed } from './rotation.ts'
import { Walker } from './walker.ts'

/** A look through a queue that disturbs nothing: what was waiting when it began, highest priority first, then the end. */
export class Browser {
  readonly feed: Feed
  readonly walker: Walker
  /** What joined the queue later is not shown, so that a busy queue does not keep a browser for ever. */
  readonly #lastOrder: number
  /** The order of the last message looked at, for each priority: one that comes back is not shown again. */
  readonly #seenOrders: number[]

  constructor(feed: Feed, lastOrder: number) {
    this.feed = feed
    this.walker = new Walker()
    this.#lastOrder = lastOrder
    this.#seenOrders = new Array<number>(10).fill(Number.NEGATIVE_INFINITY)
  }

  /** Shows what credit allows, looking at up to `budget` messages, and ends the subscription after the last one. */
  serve(lists: readonly (DeliveryList | undefined)[], budget: number): number {
    const { subscription, selector } = this.feed
    let left = budget
    while (subscription.isReady && left > 0) {
      const seen = this.#next(lists)
      if (seen === undefined) {
        subscription.end()
        return left
      }
      left -= 1
      if (selector === undefined || selector.matches(seen.message)) subscription.show(copyOf(seen))
    }
    return left
  }

  #next(lists: readonly (DeliveryList | undefined)[]): QueuedDelivery | undefined {
    for (let priority = lists.length - 1; priority >= 0; priority -= 1) {
      const list = lists[priority]
      if (list === undefined) continue
      const seenOrder = this.#seenOrders[priority] ?? 0
      let next = this.walker.step(priority, list)
      while (next !== undefined && next.order <= seenOrder) next = this.walker.step(priority, list)
      if (next === undefined || next.order > this.#lastOrder) continue
      this.#seenOrders[priority] = next.order
      return next
    }
    return undefined
  }
}

function copyOf(seen: QueuedDelivery): QueuedDelivery {
  const copy = new QueuedDelivery(seen.queue, seen.message, seen.sequence)
  copy.deliveryCount = seen.deliveryCount
  copy.redelivered = seen.redelivered
  copy.state = 'settled'
  return copy
}
