import type { Delivery } from '../../src/core.ts'
import type { Frame } from './frame.ts'
import { Header, type Version } from './headers.ts'
import type { StompSubscription } from './subscription.ts'

/** A delivery that the client has yet to acknowledge. */
export interface Awaited {
  readonly delivery: Delivery
  readonly subscription: StompSubscription
}

/** Finds what an ACK or NACK means, in the way of the connection's version. */
export interface Acks {
  /** Notes a delivery. Returns the number for its ack header; 0 if the version has none. */
  add(delivery: Delivery, subscription: StompSubscription): number
  /** What the frame names; undefined if nothing of that name is unacknowledged. */
  find(frame: Frame): Awaited | undefined
  remove(awaited: Awaited): void
  /** Forgets what the subscription has not acknowledged. */
  removeAll(subscription: StompSubscription): void
}

export function acksOf(version: Version): Acks {
  return version === '1.2' ? new NumberedAcks() : new NamedAcks(version)
}

const slotsMin = 64

/**
 * STOMP 1.2 "ACK": the id is the MESSAGE's ack header. Ids count up; the last bits of one say in which slot its delivery is, so that
 * it is found without a search. An id whose slot is taken is left out.
 */
class NumberedAcks implements Acks {
  #slots: (Awaited | undefined)[]
  #count: number
  #last: number

  constructor() {
    this.#slots = new Array<Awaited | undefined>(slotsMin).fill(undefined)
    this.#count = 0
    this.#last = 0
  }

  add(delivery: Delivery, subscription: StompSubscription): number {
    if (this.#count * 2 >= this.#slots.length) this.#grow()
    const slots = this.#slots
    const mask = slots.length - 1
    let id = this.#last + 1
    while (slots[id & mask] !== undefined) id += 1
    this.#last = id
    this.#count += 1
    slots[id & mask] = { delivery, subscription }
    delivery.tag = id
    return id
  }

  find(frame: Frame): Awaited | undefined {
    const id = frame.number(Header.id)
    if (!(id > 0)) return undefined
    const awaited = this.#slots[id & (this.#slots.length - 1)]
    return awaited !== undefined && awaited.delivery.tag === id ? awaited : undefined
  }

  remove(awaited: Awaited): void {
    this.#clear(awaited.delivery.tag & (this.#slots.length - 1))
  }

  removeAll(subscription: StompSubscription): void {
    for (const [slot, awaited] of this.#slots.entries()) if (awaited?.subscription === subscription) this.#clear(slot)
  }

  #clear(slot: number): void {
    if (this.#slots[slot] === undefined) return
    this.#slots[slot] = undefined
    this.#count -= 1
  }

  /** Ids that differ in their last bits still do with one bit more. */
  #grow(): void {
    const slots = new Array<Awaited | undefined>(this.#slots.length * 2).fill(undefined)
    for (const awaited of this.#slots) {
      if (awaited !== undefined) slots[awaited.delivery.tag & (slots.length - 1)] = awaited
    }
    this.#slots = slots
  }
}

/**
 * STOMP 1.1 "ACK": message-id and subscription name the delivery; in 1.0 the message-id does, and a subscription header is not
 * required.
 */
class NamedAcks implements Acks {
  readonly #version: Version
  /** By message id; a message may have gone to several subscriptions of the connection. */
  readonly #awaited: Map<string, Awaited[]>

  constructor(version: Version) {
    this.#version = version
    this.#awaited = new Map()
  }

  add(delivery: Delivery, subscription: StompSubscription): number {
    const { id } = delivery.message
    const others = this.#awaited.get(id)
    if (others === undefined) this.#awaited.set(id, [{ delivery, subscription }])
    else others.push({ delivery, subscription })
    return 0
  }

  find(frame: Frame): Awaited | undefined {
    const id = frame.text(Header.messageId)
    const awaited = id === undefined ? undefined : (this.#awaited.get(id) ?? this.#awaited.get(unescaped(id)))
    const subscriptionId = frame.text(Header.subscription)
    if (awaited === undefined) return undefined
    if (subscriptionId === undefined) return this.#version === '1.0' ? awaited[0] : undefined
    return awaited.find(({ subscription }) => subscription.id === subscriptionId)
  }

  remove(awaited: Awaited): void {
    const { id } = awaited.delivery.message
    const left = (this.#awaited.get(id) ?? []).filter((other) => other.delivery !== awaited.delivery)
    if (left.length === 0) this.#awaited.delete(id)
    else this.#awaited.set(id, left)
  }

  removeAll(subscription: StompSubscription): void {
    for (const all of [...this.#awaited.values()]) {
      for (const awaited of all) if (awaited.subscription === subscription) this.remove(awaited)
    }
  }
}

/** 1.0 knows no escapes, but go-stomp writes the colons of a message-id as `\c` there too. */
function unescaped(id: string): string {
  return id.replaceAll('\\c', ':')
}
