import type { QueuedDelivery } from './delivery.ts'
import { DeliveryList } from './delivery-list.ts'
import type { Walker } from './walker.ts'

const priorityMax = 9

/** The deliveries of one queue that wait for a consumer: a list for each priority, in order. */
export class Ready {
  /** By priority; those not used yet are undefined. */
  readonly lists: readonly (DeliveryList | undefined)[]
  readonly #lists: (DeliveryList | undefined)[]
  #walkers: Set<Walker> | undefined
  #returned: QueuedDelivery[]
  #count: number

  constructor() {
    this.#lists = new Array<DeliveryList | undefined>(priorityMax + 1).fill(undefined)
    this.lists = this.#lists
    this.#walkers = undefined
    this.#returned = []
    this.#count = 0
  }

  get count(): number {
    return this.#count
  }

  /** Whoever walks through the lists is told of what changes under it. */
  watch(walker: Walker): void {
    this.#walkers ??= new Set()
    this.#walkers.add(walker)
  }

  unwatch(walker: Walker): void {
    this.#walkers?.delete(walker)
    if (this.#walkers?.size === 0) this.#walkers = undefined
  }

  /** Puts a delivery at the end of its list. */
  push(delivery: QueuedDelivery): void {
    this.#list(delivery.message.priority).push(delivery)
    this.#count += 1
  }

  /** Puts a delivery back in its place by {@link QueuedDelivery.order}, with the next {@link merge}. */
  giveBack(delivery: QueuedDelivery): void {
    this.#returned.push(delivery)
    this.#count += 1
  }

  remove(delivery: QueuedDelivery): void {
    if (this.#walkers !== undefined) for (const walker of this.#walkers) walker.leaving(delivery)
    this.#list(delivery.message.priority).remove(delivery)
    this.#count -= 1
  }

  /** Puts what came back into its old places, all of one turn in one pass. */
  merge(): void {
    const returned = this.#returned
    if (returned.length === 0) return
    this.#returned = []
    returned.sort((left, right) => left.order - right.order)
    const last: (QueuedDelivery | undefined)[] = []
    for (const delivery of returned) {
      const { priority } = delivery.message
      const list = this.#list(priority)
      list.insertBefore(delivery, placeOf(delivery, list, last[priority]))
      last[priority] = delivery
      for (const walker of this.#walkers ?? []) walker.returned(delivery)
    }
  }

  /** Everything, in order of dispatch. What is yielded may be removed. */
  *all(): Generator<QueuedDelivery> {
    this.merge()
    for (let priority = priorityMax; priority >= 0; priority -= 1) yield* this.listed(priority)
  }

  /** Those of one priority that have been merged, in order. What is yielded may be removed. */
  *listed(priority: number): Generator<QueuedDelivery> {
    let delivery = this.#lists[priority]?.head
    while (delivery !== undefined) {
      const next: QueuedDelivery | undefined = delivery.next
      yield delivery
      delivery = next
    }
  }

  #list(priority: number): DeliveryList {
    const found = this.#lists[priority]
    if (found !== undefined) return found
    const list = new DeliveryList()
    this.#lists[priority] = list
    return list
  }
}

/** The first delivery of the list that comes after this one; looked for from the nearer of `from`, or the head, and the tail. */
function placeOf(
  delivery: QueuedDelivery,
  list: DeliveryList,
  from: QueuedDelivery | undefined,
): QueuedDelivery | undefined {
  const { tail } = list
  const start = from ?? list.head
  if (start === undefined || tail === undefined || tail.order < delivery.order) return undefined
  if (delivery.order - start.order <= tail.order - delivery.order) {
    let place: QueuedDelivery | undefined = start
    while (place !== undefined && place.order < delivery.order) place = place.next
    return place
  }
  let place: QueuedDelivery = tail
  while (place.previous !== undefined && place.previous.order > delivery.order) place = place.previous
  return place
}
