import type { Message } from '../message.ts'
import type { Outcome, SendNumber, Transaction } from '../session.ts'
import type { QueuedDelivery } from './delivery.ts'
import type { BrokerSession } from './session.ts'

export interface HeldSettlement {
  readonly delivery: QueuedDelivery
  readonly outcome: Outcome
}

/** Sends and settlements held back until they are applied in one turn, and so in one batch of the store. */
export class BrokerTransaction implements Transaction {
  readonly #session: BrokerSession
  #sends: Message[]
  #settlements: HeldSettlement[]
  #isOpen: boolean

  constructor(session: BrokerSession) {
    this.#session = session
    this.#sends = []
    this.#settlements = []
    this.#isOpen = true
  }

  get operationCount(): number {
    return this.#sends.length + this.#settlements.length
  }

  send(message: Message): void {
    this.#sends.push(message)
  }

  settle(delivery: QueuedDelivery, outcome: Outcome): void {
    delivery.transaction = this
    this.#settlements.push({ delivery, outcome })
  }

  commit(): SendNumber {
    const sends = this.#sends
    const settlements = this.#settlements
    this.#end()
    return this.#session.apply(sends, settlements)
  }

  abort(): void {
    for (const { delivery } of this.#settlements) delivery.subscription?.undo(delivery)
    this.#end()
  }

  #end(): void {
    if (!this.#isOpen) throw new Error('the transaction has ended')
    this.#isOpen = false
    this.#sends = []
    this.#settlements = []
    this.#session.ended(this)
  }
}
