import type { QueuedDelivery } from './delivery.ts'
import type { DeliveryList } from './delivery-list.ts'

/**
 * A reader's own way through a queue: selective consumers, queues with groups, browsers. It remembers, for each
 * priority, the last delivery it looked at, so that nothing is looked at twice.
 */
export class Walker {
  readonly #seen: (QueuedDelivery | undefined)[]

  constructor() {
    this.#seen = []
  }

  /** The first delivery of the list that it has not looked at; that counts as a look. */
  step(priority: number, list: DeliveryList): QueuedDelivery | undefined {
    const seen = this.#seen[priority]
    const next = seen === undefined ? list.head : seen.next
    if (next !== undefined) this.#seen[priority] = next
    return next
  }

  /** To be told before a delivery leaves its list. */
  leaving(delivery: QueuedDelivery): void {
    const priority = delivery.message.priority
    if (this.#seen[priority] === delivery) this.#seen[priority] = delivery.previous
  }

  /** To be told after a delivery has come back into the middle of its list. */
  returned(delivery: QueuedDelivery): void {
    const priority = delivery.message.priority
    const seen = this.#seen[priority]
    if (seen !== undefined && seen.order > delivery.order) this.#seen[priority] = delivery.previous
  }

  /** Starts again at the head of every list. */
  reset(): void {
    this.#seen.length = 0
  }
}
