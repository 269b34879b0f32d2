import type { BrokerError, SendNumber, Session, Transaction } from '../../src/core.ts'
import { errorOf } from './conditions.ts'
import type { ErrorFields } from './control.ts'
import { acceptedState } from './encoder.ts'
import { Cursor, Section } from './frame.ts'
import type { DeliverySink, IncomingDelivery, IncomingLink } from './incoming-link.ts'
import { declaredState, rejectedState } from './outcomes.ts'
import type { SettledDelivery, TransactionalSettlement } from './outgoing.ts'

const declareCode = 0x31
const dischargeCode = 0x32
const requestNames = new Map([
  ['amqp:declare:list', declareCode],
  ['amqp:discharge:list', dischargeCode],
])

/** What coordinators offer (part 4, section 4.5.2). */
export const transactionCapabilities = [
  'amqp:local-transactions',
  'amqp:multi-txns-per-ssn',
  'amqp:multi-ssns-per-txn',
] as const

/** A transaction that a coordinator has declared. */
export class OpenTransaction {
  readonly id: string
  readonly core: Transaction
  readonly settled: { readonly delivery: SettledDelivery; readonly say: SaySettled }[]
  /** Why it can only be rolled back, if so. */
  refusal: string | undefined
  /** The session of the core has ended, and rolled it back. */
  isOver: boolean

  constructor(id: string, core: Transaction) {
    this.id = id
    this.core = core
    this.settled = []
    this.refusal = undefined
    this.isOver = false
  }

  /** A send within it was refused. */
  fail(refusal: string): void {
    this.refusal ??= refusal
  }

  /** What a receiver has settled within it; `say` tells the receiver that we have too. */
  noter(say: SaySettled): TransactionalSettlement {
    return { core: this.core, note: (delivery) => this.settled.push({ delivery, say }) }
  }

  /** Forgets the sends; what receivers have forgotten comes again. Nothing if the session has ended, and done so itself. */
  rollBack(): void {
    if (this.isOver) return
    this.core.abort()
    this.giveBack()
  }

  /** It did not happen: what receivers have forgotten comes again. */
  giveBack(): void {
    for (const { delivery } of this.settled) if (delivery.isForgotten) delivery.link.giveBack(delivery.delivery)
  }

  /** It is committed: what receivers have not forgotten is settled for them. */
  committed(): void {
    for (const { delivery, say } of this.settled) if (!delivery.isForgotten) say(delivery.id, acceptedState)
  }
}

/** Tells the receiver of one delivery that it is settled. */
export type SaySettled = (id: number, state: Uint8Array) => void

/** The open transactions of one connection. */
export class Transactions {
  readonly #open: Map<string, OpenTransaction>
  #count: number

  constructor() {
    this.#open = new Map()
    this.#count = 0
  }

  find(id: string): OpenTransaction | undefined {
    return this.#open.get(id)
  }

  declare(session: Session): OpenTransaction | BrokerError {
    const core = session.begin()
    if (core instanceof Error) return core
    this.#count += 1
    const id = Buffer.alloc(4)
    id.writeUInt32BE(this.#count)
    const transaction = new OpenTransaction(id.toString('latin1'), core)
    this.#open.set(transaction.id, transaction)
    return transaction
  }

  remove(transaction: OpenTransaction): void {
    this.#open.delete(transaction.id)
  }

  /** The session of the core ends. */
  close(): void {
    for (const transaction of this.#open.values()) transaction.isOver = true
    this.#open.clear()
  }
}

/** What a coordinator needs of its connection and session. */
export interface CoordinatorHost {
  readonly session: Session
  readonly transactions: Transactions
  takeRefusal(): BrokerError | undefined
  writeOutcome(deliveryId: number, settled: boolean, state: Uint8Array): void
  /** Whether a delivery within this transaction has begun, and not ended. */
  isPosting(transaction: string): boolean
  /** Calls back once everything up to that number is safe. */
  whenConfirmed(number: SendNumber, done: () => void): void
}

/** A link to the coordinator of transactions (part 4, section 4.2): declares them, and discharges them. */
export class Coordinator implements DeliverySink {
  readonly #host: CoordinatorHost
  readonly #declared: Set<OpenTransaction>

  constructor(host: CoordinatorHost) {
    this.#host = host
    this.#declared = new Set()
  }

  take(delivery: IncomingDelivery, _link: IncomingLink): ErrorFields | undefined {
    // Part 4, section 4.3: the answer is in the outcome, so the sender must wait for one.
    if (delivery.settled)
      return { condition: 'amqp:invalid-field', description: 'a request to the coordinator was sent settled' }
    const cursor = new Cursor(delivery.bytes, delivery.start, delivery.end)
    const request = requestIn(cursor)
    if (request === declareCode) return this.#declare(delivery, cursor)
    if (request === dischargeCode) return this.#discharge(delivery, cursor)
    return { condition: 'amqp:decode-error', description: 'neither declare nor discharge' }
  }

  /** Part 4, section 4.2: what the link has declared and not discharged is rolled back with it. */
  closed(): void {
    for (const transaction of this.#declared) {
      this.#host.transactions.remove(transaction)
      transaction.rollBack()
    }
    this.#declared.clear()
  }

  #declare(delivery: IncomingDelivery, cursor: Cursor): ErrorFields | undefined {
    const fields = cursor.list()
    const start = cursor.at
    if (fields > 0) cursor.skip()
    if (cursor.isBroken) return { condition: 'amqp:decode-error', description: 'a declare that cannot be read' }
    if (fields > 0 && cursor.bytes[start] !== 0x40) {
      return { condition: 'amqp:not-implemented', description: 'there are no global transactions' }
    }
    const { session, transactions } = this.#host
    const transaction = transactions.declare(session)
    if (transaction instanceof Error) return this.#reject(delivery, errorOf(transaction))
    this.#declared.add(transaction)
    this.#host.writeOutcome(delivery.id, true, declaredState(transaction.id))
    return undefined
  }

  #discharge(delivery: IncomingDelivery, cursor: Cursor): ErrorFields | undefined {
    const fields = cursor.list()
    const length = fields > 0 ? cursor.binary() : -1
    const id = cursor.bytes.toString('latin1', cursor.at - Math.max(length, 0), cursor.at)
    const fails = fields > 1 && cursor.boolean() === true
    if (cursor.isBroken || length < 0) {
      return { condition: 'amqp:decode-error', description: 'a discharge that cannot be read' }
    }
    const { transactions } = this.#host
    const transaction = transactions.find(id)
    if (transaction === undefined) {
      return this.#reject(delivery, {
        condition: 'amqp:transaction:unknown-id',
        description: 'no such transaction is open',
      })
    }
    transactions.remove(transaction)
    this.#declared.delete(transaction)
    if (!fails && this.#host.isPosting(id)) {
      // Part 4, section 4.4.1.
      transaction.rollBack()
      return { condition: 'amqp:transaction:rollback', description: 'a delivery within the transaction is incomplete' }
    }
    if (!fails) return this.#commit(delivery, transaction)
    transaction.rollBack()
    this.#host.writeOutcome(delivery.id, true, acceptedState)
    return undefined
  }

  #commit(delivery: IncomingDelivery, transaction: OpenTransaction): ErrorFields | undefined {
    if (transaction.refusal !== undefined) {
      transaction.rollBack()
      return this.#rolledBack(delivery, transaction.refusal)
    }
    const number = transaction.core.commit()
    const refusal = this.#host.takeRefusal()
    if (refusal !== undefined) {
      transaction.giveBack()
      return this.#rolledBack(delivery, refusal.message)
    }
    // The delivery is used again for the next one before that.
    const { id } = delivery
    this.#host.whenConfirmed(number, () => {
      transaction.committed()
      this.#host.writeOutcome(id, true, acceptedState)
    })
    return undefined
  }

  #rolledBack(delivery: IncomingDelivery, description: string): ErrorFields | undefined {
    return this.#reject(delivery, { condition: 'amqp:transaction:rollback', description })
  }

  /** Part 4, section 4.3: what a source that knows no `rejected` is told by the end of the link. */
  #reject(delivery: IncomingDelivery, error: ErrorFields): ErrorFields | undefined {
    if (!delivery.canReject) return error
    this.#host.writeOutcome(delivery.id, true, rejectedState(error.condition, error.description))
    return undefined
  }
}

/** Goes to the body of a request, which is a value section; returns its descriptor. */
function requestIn(cursor: Cursor): number {
  while (cursor.at < cursor.end) {
    const section = cursor.section()
    if (section === Section.value) return cursor.descriptor(requestNames)
    cursor.skip()
  }
  return -1
}
