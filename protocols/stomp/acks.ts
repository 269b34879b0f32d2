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

const slotBits = 26
const slotCount = 2 ** slotBits

/**
 * STOMP 1.2 "ACK": the id is the MESSAGE's ack header. The number says in which slot the delivery is and how often the slot has
 * been used, so that an id is found without a search and is never mistaken for a later one.
 */
class NumberedAcks implements Acks {
  readonly #slots: (Awaited | undefined)[]
  readonly #uses: number[]
  readonly #free: number[]

  constructor() {
    this.#slots = []
    this.#uses = []
    this.#free = []
  }

  add(delivery: Delivery, subscription: StompSubscription): number {
    const slot = this.#free.pop() ?? this.#slots.length
    const use = this.#uses[slot] ?? 0
    this.#uses[slot] = use + 1
    this.#slots[slot] = { delivery, subscription }
    delivery.tag = use * slotCount + slot + 1
    return delivery.tag
  }

  find(frame: Frame): Awaited | undefined {
    const id = frame.number(Header.id)
    if (!(id > 0)) return undefined
    const awaited = this.#slots[(id - 1) % slotCount]
    return awaited !== undefined && awaited.delivery.tag === id ? awaited : undefined
  }

  remove(awaited: Awaited): void {
    this.#clear((awaited.delivery.tag - 1) % slotCount)
  }

  removeAll(subscription: StompSubscription): void {
    for (const [slot, awaited] of this.#slots.entries()) if (awaited?.subscription === subscription) this.#clear(slot)
  }

  #clear(slot: number): void {
    if (this.#slots[slot] === undefined) return
    this.#slots[slot] = undefined
    this.#free.push(slot)
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
