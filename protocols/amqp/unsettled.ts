import type { Delivery } from '../../src/core.ts'
import { serialGap } from './frame.ts'
import type { OutgoingLink } from './outgoing-link.ts'

const slotsMin = 64

/**
 * What the broker has sent on one session and its receivers have not settled, by delivery id. Ids count up by one and wrap at 2^32
 * (RFC 1982); the last bits of one say in which slot its delivery is, so that it is found without a search.
 */
export class Unsettled {
  #deliveries: (Delivery | undefined)[]
  #links: (OutgoingLink | undefined)[]
  #ids: number[]
  #count: number
  #next: number

  /** `first`: the first delivery id. */
  constructor(first = 0) {
    this.#deliveries = new Array<Delivery | undefined>(slotsMin).fill(undefined)
    this.#links = new Array<OutgoingLink | undefined>(slotsMin).fill(undefined)
    this.#ids = new Array<number>(slotsMin).fill(0)
    this.#count = 0
    this.#next = first >>> 0
  }

  get count(): number {
    return this.#count
  }

  /** An id for a delivery that is settled already. */
  skip(): number {
    const id = this.#next
    this.#next = (id + 1) >>> 0
    return id
  }

  /** Notes a delivery and returns its id. */
  add(delivery: Delivery, link: OutgoingLink): number {
    const id = this.#next
    this.#next = (id + 1) >>> 0
    while (this.#deliveries[id & (this.#deliveries.length - 1)] !== undefined) this.#grow()
    const slot = id & (this.#deliveries.length - 1)
    this.#deliveries[slot] = delivery
    this.#links[slot] = link
    this.#ids[slot] = id
    this.#count += 1
    return id
  }

  /** Calls `settle` for each unsettled delivery from `first` to `last`; it may remove them. */
  each(first: number, last: number, settle: (delivery: Delivery, link: OutgoingLink, id: number) => void): void {
    const gap = serialGap(first, last)
    if (gap < 0) return
    // A range of more ids than there are slots has nothing in most of them.
    if (gap >= this.#deliveries.length) {
      for (let slot = 0; slot < this.#deliveries.length; slot += 1) {
        const id = this.#ids[slot] as number
        if (serialGap(first, id) >= 0 && serialGap(id, last) >= 0) this.#visit(slot, id, settle)
      }
      return
    }
    for (let offset = 0; offset <= gap; offset += 1) {
      const id = (first + offset) >>> 0
      const slot = id & (this.#deliveries.length - 1)
      if (this.#ids[slot] === id) this.#visit(slot, id, settle)
    }
  }

  /** Forgets one. */
  remove(id: number): void {
    const slot = id & (this.#deliveries.length - 1)
    if (this.#ids[slot] !== id || this.#deliveries[slot] === undefined) return
    this.#deliveries[slot] = undefined
    this.#links[slot] = undefined
    this.#count -= 1
  }

  /** The deliveries of one link with their ids. */
  ofLink(link: OutgoingLink): readonly (readonly [id: number, delivery: Delivery])[] {
    const found: [number, Delivery][] = []
    for (let slot = 0; slot < this.#links.length && this.#count > 0; slot += 1) {
      const delivery = this.#deliveries[slot]
      if (this.#links[slot] === link && delivery !== undefined) found.push([this.#ids[slot] as number, delivery])
    }
    return found
  }

  /** Forgets all of one link. */
  removeAll(link: OutgoingLink): void {
    for (let slot = 0; slot < this.#links.length && this.#count > 0; slot += 1) {
      if (this.#links[slot] === link) this.remove(this.#ids[slot] as number)
    }
  }

  #visit(slot: number, id: number, settle: (delivery: Delivery, link: OutgoingLink, id: number) => void): void {
    const delivery = this.#deliveries[slot]
    const link = this.#links[slot]
    if (delivery !== undefined && link !== undefined) settle(delivery, link, id)
  }

  /** Ids that differ in their last bits still do with one bit more. */
  #grow(): void {
    const size = this.#deliveries.length * 2
    const deliveries = new Array<Delivery | undefined>(size).fill(undefined)
    const links = new Array<OutgoingLink | undefined>(size).fill(undefined)
    const ids = new Array<number>(size).fill(0)
    for (let slot = 0; slot < this.#deliveries.length; slot += 1) {
      const delivery = this.#deliveries[slot]
      if (delivery === undefined) continue
      const id = this.#ids[slot] as number
      deliveries[id & (size - 1)] = delivery
      links[id & (size - 1)] = this.#links[slot]
      ids[id & (size - 1)] = id
    }
    this.#deliveries = deliveries
    this.#links = links
    this.#ids = ids
  }
}
