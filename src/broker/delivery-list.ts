import type { QueuedDelivery } from './delivery.ts'

/**
 * Deliveries in order, linked through their own `next` and `previous`: taking one out of the middle costs the same as from
 * the end. A delivery stands in one list at a time. Links are cleared on removal, so that a dead delivery holds no live one.
 */
export class DeliveryList {
  head: QueuedDelivery | undefined
  tail: QueuedDelivery | undefined
  count: number

  constructor() {
    this.head = undefined
    this.tail = undefined
    this.count = 0
  }

  push(delivery: QueuedDelivery): void {
    const tail = this.tail
    delivery.previous = tail
    if (tail === undefined) this.head = delivery
    else tail.next = delivery
    this.tail = delivery
    this.count += 1
  }

  /** Puts a delivery before `place`, which is in this list; at the end without one. */
  insertBefore(delivery: QueuedDelivery, place: QueuedDelivery | undefined): void {
    if (place === undefined) {
      this.push(delivery)
      return
    }
    const previous = place.previous
    delivery.next = place
    delivery.previous = previous
    place.previous = delivery
    if (previous === undefined) this.head = delivery
    else previous.next = delivery
    this.count += 1
  }

  remove(delivery: QueuedDelivery): void {
    const { previous, next } = delivery
    if (previous === undefined) this.head = next
    else previous.next = next
    if (next === undefined) this.tail = previous
    else next.previous = previous
    delivery.previous = undefined
    delivery.next = undefined
    this.count -= 1
  }
}
