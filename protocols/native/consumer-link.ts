import type { BrokerError, Consumer, Delivery, Outcome, Subscription, Transaction } from '../../src/core.ts'
import type { ClientSide } from './client-side.ts'

/** Core credit handed on in one go: what may come although the bytes have run out waits here. */
const coreCreditMax = 1024
const firstSizeBytes = 1024
const cutWhen = 1024

export interface ConsumerLinkHost {
  readonly client: ClientSide
  linkEnded(link: number, error: BrokerError | undefined): void
}

/** One consumer of one client: numbers its deliveries and keeps to its credit in messages and in bytes. */
export class ConsumerLink implements Consumer {
  readonly link: number
  readonly isPresettled: boolean
  readonly #host: ConsumerLinkHost
  #subscription: Subscription | undefined
  /** Messages the client has granted that the core does not know of yet, and bytes it still takes. */
  #messages: number
  #bytes: number
  /** Deliveries for which there are no bytes. */
  #held: Delivery[]
  /** Unsettled deliveries: that with number `#first + index` at `index`; settled ones are undefined. */
  #unsettled: (Delivery | undefined)[]
  #first: number
  /** Those at the front of `#unsettled` that are settled. */
  #settledCount: number
  #last: number
  #typicalBytes: number

  constructor(host: ConsumerLinkHost, link: number, isPresettled: boolean) {
    this.link = link
    this.isPresettled = isPresettled
    this.#host = host
    this.#subscription = undefined
    this.#messages = 0
    this.#bytes = 0
    this.#held = []
    this.#unsettled = []
    this.#first = 1
    this.#settledCount = 0
    this.#last = 0
    this.#typicalBytes = firstSizeBytes
  }

  open(subscription: Subscription): void {
    this.#subscription = subscription
    this.#pass()
  }

  /** Credit in messages that is still open. */
  get credit(): number {
    return this.#messages + (this.#subscription?.credit ?? 0)
  }

  grant(messages: number, bytes: number): void {
    this.#messages += messages
    this.#bytes = Math.min(this.#bytes + bytes, Number.MAX_SAFE_INTEGER)
    this.#release()
    this.#pass()
  }

  /** Has the credit used up, and says when that is done. */
  drain(): void {
    const subscription = this.#subscription
    if (subscription === undefined) return
    subscription.addCredit(this.#messages)
    this.#messages = 0
    subscription.drain((left) => this.#host.client.creditUsed(this.link, left))
  }

  deliver(delivery: Delivery): void {
    if (this.#bytes <= 0 || this.#held.length > 0) this.#held.push(delivery)
    else this.#hand(delivery)
    if (this.#subscription?.credit === 0) this.#pass()
  }

  ended(error?: BrokerError): void {
    this.#subscription = undefined
    this.#host.linkEnded(this.link, error)
  }

  /** True if the deliveries up to this number have been sent. */
  knows(number: number): boolean {
    return number <= this.#last
  }

  /** Settles the deliveries from one number to another that are not settled yet. */
  settle(from: number, to: number, outcome: Outcome): void {
    const subscription = this.#subscription
    if (subscription === undefined) return
    for (let number = Math.max(from, this.#first); number <= to; number += 1) {
      const delivery = this.#take(number)
      if (delivery !== undefined) subscription.settle(delivery, outcome)
    }
  }

  /** As {@link settle}, when the transaction commits; until {@link forget} they can be found again. */
  settleIn(
    transaction: Transaction,
    range: { readonly from: number; readonly to: number; readonly outcome: Outcome },
    onSettled: (delivery: Delivery, number: number) => void,
  ): void {
    const subscription = this.#subscription
    if (subscription === undefined) return
    for (let number = Math.max(range.from, this.#first); number <= range.to; number += 1) {
      const delivery = this.#unsettled[number - this.#first]
      if (delivery === undefined) continue
      subscription.settle(delivery, range.outcome, transaction)
      onSettled(delivery, number)
    }
  }

  /** The transaction that settled it is committed. */
  forget(number: number): void {
    this.#take(number)
  }

  close(): void {
    this.#subscription?.close()
    this.#subscription = undefined
    this.#held = []
    this.#unsettled = []
  }

  #take(number: number): Delivery | undefined {
    const index = number - this.#first
    const delivery = this.#unsettled[index]
    if (delivery === undefined) return undefined
    this.#unsettled[index] = undefined
    if (index === this.#settledCount) this.#advance()
    return delivery
  }

  /** Drops the settled front now and then, so that neither the list grows nor each settlement moves it. */
  #advance(): void {
    const unsettled = this.#unsettled
    const { length } = unsettled
    let settled = this.#settledCount
    while (settled < length && unsettled[settled] === undefined) settled += 1
    this.#settledCount = settled
    if (settled < length && settled < cutWhen) return
    this.#first += settled
    this.#settledCount = 0
    if (settled === length) unsettled.length = 0
    else this.#unsettled = unsettled.slice(settled)
  }

  #hand(delivery: Delivery): void {
    this.#last += 1
    if (!this.isPresettled) this.#unsettled.push(delivery)
    else this.#first = this.#last + 1
    const { client } = this.#host
    const bytes = client.costOf(delivery)
    this.#bytes -= bytes
    this.#typicalBytes += (bytes - this.#typicalBytes) / 16
    client.deliver(this.link, this.#last, delivery)
  }

  #release(): void {
    if (this.#held.length === 0) return
    let count = 0
    for (const delivery of this.#held) {
      if (this.#bytes <= 0) break
      this.#hand(delivery)
      count += 1
    }
    this.#held.splice(0, count)
  }

  /** Tells the core of as much credit as the bytes will probably do for. */
  #pass(): void {
    const subscription = this.#subscription
    if (subscription === undefined || this.#messages === 0 || this.#bytes <= 0) return
    const fitting = Math.min(Math.max(1, Math.floor(this.#bytes / this.#typicalBytes)), coreCreditMax)
    const messages = Math.min(this.#messages, fitting - subscription.credit)
    if (messages <= 0) return
    this.#messages -= messages
    subscription.addCredit(messages)
  }
}
