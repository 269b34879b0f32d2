import type { Address, BrokerError, Message, SendNumber, Session } from '../../src/core.ts'
import { errorOf } from './conditions.ts'
import type { ErrorFields } from './control.ts'
import { acceptedState } from './encoder.ts'
import type { DeliverySink, IncomingDelivery, IncomingLink } from './incoming-link.ts'
import { type MessageReader, opaqueMessage } from './mapping.ts'
import { readState, rejectedState, transactionalState } from './outcomes.ts'
import type { ReceivedTags } from './resume.ts'
import type { OpenTransaction, Transactions } from './transactions.ts'

/** What a publisher needs of its connection and session. */
export interface PublisherHost {
  readonly session: Session
  readonly reader: MessageReader
  /** Milliseconds since the epoch, when the bytes being read came in. */
  readonly now: number
  readonly transactions: Transactions
  /** The refusal of the send that has just been made, if it was refused. */
  takeRefusal(): BrokerError | undefined
  /** Notes that `accepted` is to be said of a delivery once its send is safe. */
  awaitConfirm(number: SendNumber, delivery: IncomingDelivery): void
  /** Says the outcome of one delivery now. */
  writeOutcome(deliveryId: number, settled: boolean, state: Uint8Array): void
}

/** Sends what comes on a link to its address; without one, of the anonymous relay, to that which each message names. */
export class Publisher implements DeliverySink {
  readonly #host: PublisherHost
  readonly #address: Address | undefined
  readonly #resolve: (to: string) => Address | BrokerError
  readonly #onClosed: (isForGood: boolean) => void
  readonly #tags: ReceivedTags | undefined

  /** `tags`: where deliveries are noted, if they are. */
  constructor(
    host: PublisherHost,
    address: Address | undefined,
    resolve: (to: string) => Address | BrokerError,
    onClosed: (isForGood: boolean) => void,
    tags: ReceivedTags | undefined,
  ) {
    this.#host = host
    this.#address = address
    this.#resolve = resolve
    this.#onClosed = onClosed
    this.#tags = tags
  }

  take(delivery: IncomingDelivery, _link: IncomingLink): ErrorFields | undefined {
    if (delivery.isResumed) return this.#resume(delivery)
    const message = this.#messageOf(delivery)
    if (delivery.state.length > 0) return this.#takeWithin(delivery, message)
    if ('condition' in message) return this.#reject(delivery, message, undefined)
    const number = this.#host.session.send(message)
    const refusal = this.#host.takeRefusal()
    if (refusal !== undefined) return this.#reject(delivery, errorOf(refusal), undefined)
    if (!delivery.settled) {
      this.#host.awaitConfirm(number, delivery)
      this.#note(delivery, number)
    }
    return undefined
  }

  /** Part 2, section 2.6.13: what has been handed over is accepted once all before it is safe; what was refused stays so. */
  #resume(delivery: IncomingDelivery): ErrorFields | undefined {
    const { tag = '' } = delivery
    const state = this.#tags?.resumable(tag)
    this.#tags?.forget(tag)
    if (delivery.settled || state === undefined) return undefined
    if (typeof state === 'object') return this.#reject(delivery, state, undefined)
    const number = this.#host.session.sync()
    this.#host.awaitConfirm(number, delivery)
    this.#note(delivery, number)
    return undefined
  }

  #note({ tag, id, isSecond }: IncomingDelivery, state: SendNumber | ErrorFields): void {
    if (tag !== undefined) this.#tags?.note(tag, { id, isSecond, state })
  }

  closed(isForGood: boolean): void {
    this.#onClosed(isForGood)
  }

  /** Part 4, section 4.4.2: a transfer with a transactional state. */
  #takeWithin(delivery: IncomingDelivery, message: Message | ErrorFields): ErrorFields | undefined {
    const state = readState(delivery.state, 0, delivery.state.length)
    if (state?.kind !== 'transactional') {
      return { condition: 'amqp:invalid-field', description: 'the state of a transfer can only be transactional' }
    }
    const open = this.#host.transactions.find(state.transaction)
    if (open === undefined) {
      return { condition: 'amqp:transaction:unknown-id', description: 'the transaction is not open' }
    }
    const error = 'condition' in message ? message : this.#sendWithin(message, open)
    if (error !== undefined) {
      // Part 4, section 4.4.4.1: what could not be processed must not be committed.
      open.fail(error.description)
      return this.#reject(delivery, error, open)
    }
    if (!delivery.settled) {
      this.#host.writeOutcome(delivery.id, !delivery.isSecond, transactionalState(open.id, acceptedState))
    }
    return undefined
  }

  #sendWithin(message: Message, open: OpenTransaction): ErrorFields | undefined {
    this.#host.session.send(message, open.core)
    const refusal = this.#host.takeRefusal()
    return refusal === undefined ? undefined : errorOf(refusal)
  }

  /** Of a delivery that is settled already, or cannot be rejected, nobody could learn: the link is closed instead. */
  #reject(delivery: IncomingDelivery, error: ErrorFields, open: OpenTransaction | undefined): ErrorFields | undefined {
    if (delivery.settled || !delivery.canReject) return error
    const rejected = rejectedState(error.condition, error.description)
    if (open === undefined) this.#note(delivery, error)
    const state = open === undefined ? rejected : transactionalState(open.id, rejected)
    this.#host.writeOutcome(delivery.id, !delivery.isSecond, state)
    return undefined
  }

  #messageOf(delivery: IncomingDelivery): Message | ErrorFields {
    const { reader, now, session } = this.#host
    const { bytes, start, end } = delivery
    const address = this.#address
    if (delivery.messageFormat !== 0) {
      if (address === undefined) {
        return { condition: 'amqp:not-implemented', description: 'the relay needs messages of format 0' }
      }
      return opaqueMessage(delivery.messageFormat, bytes.subarray(start, end), address, session.source, now)
    }
    const fault = reader.read(bytes, start, end, now, address === undefined)
    if (fault !== undefined) return { condition: 'amqp:decode-error', description: fault }
    const place = address ?? this.#relayed(reader.to)
    if ('condition' in place) return place
    return reader.message(place, session.source, now, !delivery.isOwn)
  }

  #relayed(to: string | undefined): Address | ErrorFields {
    if (to === undefined)
      return { condition: 'amqp:invalid-field', description: 'the message names no address in `to`' }
    const address = this.#resolve(to)
    return address instanceof Error ? errorOf(address) : address
  }
}
