import type { Message } from '../message.ts'
import type { Outcome, SendNumber, Transaction } from '../session.ts'
import type { QueuedDelivery } from './delivery.ts'
import type { BrokerSession } from './session.ts'
import type { StateChange } from './states.ts'

export interface HeldSettlement {
  readonly delivery: QueuedDelivery
  readonly outcome: Outcome
}

/** What a transaction does when it is committed. */
export interface Held {
  readonly sends: readonly Message[]
  readonly settlements: readonly HeldSettlement[]
  readonly states: readonly StateChange[]
}

/** Sends, settlements and states held back until they are applied in one turn, and so in one batch of the store. */
export class BrokerTransaction implements Transaction {
  /** Until it is committed or aborted; written by itself only. */
  isOpen: boolean
  readonly #session: BrokerSession
  #sends: Message[]
  #settlements: HeldSettlement[]
  #states: StateChange[]

  constructor(session: BrokerSession) {
    this.isOpen = true
    this.#session = session
    this.#sends = []
    this.#settlements = []
    this.#states = []
  }

  get operationCount(): number {
    return this.#sends.length + this.#settlements.length + this.#states.length
  }

  send(message: Message): void {
    this.#sends.push(message)
  }

  putState(change: StateChange): void {
    this.#states.push(change)
  }

  /** Holds a settlement back; once it has ended, the delivery stays unsettled. */
  settle(delivery: QueuedDelivery, outcome: Outcome): void {
    if (!this.isOpen) return
    delivery.transaction = this
    this.#settlements.push({ delivery, outcome })
  }

  commit(): SendNumber {
    const held: Held = { sends: this.#sends, settlements: this.#settlements, states: this.#states }
    this.#end()
    return this.#session.apply(held)
  }

  abort(): void {
    for (const { delivery } of this.#settlements) delivery.subscription?.undo(delivery)
    this.#end()
  }

  #end(): void {
    if (!this.isOpen) throw new Error('the transaction has ended')
    this.isOpen = false
    this.#sends = []
    this.#settlements = []
    this.#states = []
    this.#session.ended(this)
  }
}
