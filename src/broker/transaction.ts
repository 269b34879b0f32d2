import { BrokerError } from '../errors.ts'
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
  /** Why it cannot be committed. */
  readonly refusal: BrokerError | undefined
}

/** Sends, settlements and states held back until they are applied in one turn, and so in one batch of the store. */
export class BrokerTransaction implements Transaction {
  /** Until it is committed or aborted; written by itself only. */
  isOpen: boolean
  readonly #session: BrokerSession
  #sends: Message[]
  #settlements: HeldSettlement[]
  #states: StateChange[]
  readonly #operationsMax: number
  #refusal: BrokerError | undefined

  constructor(session: BrokerSession, operationsMax: number) {
    this.isOpen = true
    this.#session = session
    this.#operationsMax = operationsMax
    this.#refusal = undefined
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

  /** Why it takes no more operations, if it does not. */
  get overfull(): BrokerError | undefined {
    if (this.operationCount < this.#operationsMax) return undefined
    return new BrokerError('limit-exceeded', `more than ${this.#operationsMax} operations in one transaction`)
  }

  /**
   * Holds a settlement back; once it has ended, the delivery stays unsettled. One that it has no room for has it refused when it is
   * committed.
   */
  settle(delivery: QueuedDelivery, outcome: Outcome): void {
    if (!this.isOpen) return
    this.#refusal ??= this.overfull
    if (this.#refusal !== undefined) return
    delivery.transaction = this
    this.#settlements.push({ delivery, outcome })
  }

  commit(): SendNumber {
    const held: Held = {
      sends: this.#sends,
      settlements: this.#settlements,
      states: this.#states,
      refusal: this.#refusal,
    }
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
