import { Address } from '../address.ts'
import { BrokerError } from '../errors.ts'
import type { MessageSource } from '../message.ts'
import type { FilterRequest } from '../session.ts'
import { SmallMap } from '../small-map.ts'
import type { Retained } from './retained.ts'
import type { Router } from './router.ts'
import type { BrokerSession } from './session.ts'
import type { States } from './states.ts'
import { type Binding, isFor } from './topic.ts'

/** What the filters of one broker's subscriptions share. */
export interface CoverageHost {
  readonly router: Router
  readonly retained: Retained
  readonly states: States
}

interface Claim {
  readonly binding: Binding
  /** 0: the filter that the subscription was made with; the others count up. */
  readonly number: number
}

/** As the store keeps a filter, by its number: what it is, or of the first one that it is no more. */
interface StoredFilter {
  readonly filter: string
  readonly noLocal: boolean
  readonly isCovered: boolean
}

/** The states of filters begin with this; their number and the key of the subscription follow. */
export const coveragePrefix = 'subscription/'

/**
 * The filters of one topic subscription. Each is a claim of its own on the subscription's one queue, so that a message that
 * several of them cover comes once. Those of a durable subscription are kept beside it.
 */
export class Coverage {
  readonly #host: CoverageHost
  /** The filter it was made with; the others have the same queue and selector, and the same way with slow consumers. */
  readonly #first: Binding
  /** By which the store knows the subscription; undefined: it does not. */
  readonly #key: string | undefined
  readonly #claims: SmallMap<string, Claim>
  #lastNumber: number

  constructor(host: CoverageHost, first: Binding, key: string | undefined) {
    this.#host = host
    this.#first = first
    this.#key = key
    this.#claims = new SmallMap()
    this.#claims.set(first.filter.name, { binding: first, number: 0 })
    this.#lastNumber = 0
    host.router.bind(first)
  }

  get filters(): readonly Address[] {
    return [...this.#claims.values()].map(({ binding }) => binding.filter)
  }

  /** As {@link cover}, for a consumer, if its session may receive from there. */
  coverFor(session: BrokerSession, request: FilterRequest): BrokerError | undefined {
    const { address, noLocal } = request
    const refusal = session.mayReceive(address)
    if (refusal !== undefined) return refusal
    const topic = address.isPattern ? undefined : this.#host.router.destination(address)
    if (topic instanceof BrokerError) return topic
    return this.cover(request, noLocal === true ? session.source : undefined)
  }

  /** Adds a filter, or changes whether it leaves out `own` messages. `own`: whose those are, if they are left out. */
  cover({ address, retained = 'if-new' }: FilterRequest, own: MessageSource | undefined): BrokerError | undefined {
    const before = this.#claims.get(address.name)
    if (before === undefined || (before.binding.noLocal !== undefined) !== (own !== undefined)) {
      const isFirst = before === undefined && address.name === this.#first.filter.name
      const number = before?.number ?? (isFirst ? 0 : this.#lastNumber + 1)
      const refusal = this.#keep(number, { filter: address.name, noLocal: own !== undefined, isCovered: true })
      if (refusal !== undefined) return refusal
      if (before !== undefined) this.#host.router.unbind(before.binding)
      this.#claim(address, own, number)
    }
    if (retained === 'send' || (retained === 'if-new' && before === undefined)) this.recall(address)
    return undefined
  }

  /** Gives a filter up. What it has brought in stays. */
  uncover(address: Address): void {
    const claim = this.#claims.get(address.name)
    if (claim === undefined) return
    this.#claims.delete(address.name)
    this.#host.router.unbind(claim.binding)
    const { number } = claim
    if (number > 0) this.#keep(number, undefined)
    else this.#keep(0, { filter: address.name, noLocal: false, isCovered: false })
  }

  /** Gives all filters up: the subscription ends. */
  clear(): void {
    for (const { binding, number } of this.#claims.values()) {
      this.#host.router.unbind(binding)
      this.#keep(number, undefined)
    }
    this.#keep(0, undefined)
    this.#claims.clear()
  }

  /** Puts the retained messages of the filter's topics first. */
  recall(address: Address): void {
    const binding = this.#claims.get(address.name)?.binding
    if (binding === undefined) return
    for (const message of this.#host.retained.matching(address).reverse()) {
      if (isFor(binding, message)) binding.queue.putRetained(message)
    }
  }

  /** Takes in what the store has kept under a number. `own`: as for {@link cover}, if the filter leaves them out. */
  restore(number: number, value: Uint8Array, own: MessageSource): void {
    const stored = JSON.parse(Buffer.from(value).toString()) as StoredFilter
    const address = Address.of('topic', stored.filter)
    if (address instanceof BrokerError) return
    const before = this.#claims.get(address.name)
    if (before !== undefined) {
      this.#host.router.unbind(before.binding)
      this.#claims.delete(address.name)
    }
    this.#lastNumber = Math.max(this.#lastNumber, number)
    if (stored.isCovered) this.#claim(address, stored.noLocal ? own : undefined, number)
  }

  #claim(filter: Address, noLocal: MessageSource | undefined, number: number): void {
    const binding: Binding = { ...this.#first, filter, noLocal }
    this.#claims.set(filter.name, { binding, number })
    this.#lastNumber = Math.max(this.#lastNumber, number)
    this.#host.router.bind(binding)
  }

  #keep(number: number, stored: StoredFilter | undefined): BrokerError | undefined {
    if (this.#key === undefined) return undefined
    const { states } = this.#host
    const value = stored === undefined ? undefined : Buffer.from(JSON.stringify(stored))
    const change = { key: `${coveragePrefix}${number}/${this.#key}`, value }
    const refusal = states.refusal(change)
    if (refusal === undefined) states.put(change)
    return refusal
  }
}
