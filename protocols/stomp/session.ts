import {
  type Address,
  accepted,
  BrokerError,
  type Delivery,
  failed,
  type Outcome,
  type Output,
  type SendNumber,
  type Session,
  type SessionEvents,
  type SubscribeRequest,
  type Transaction,
} from '../../src/core.ts'
import { type Acks, type Awaited, acksOf } from './acks.ts'
import type { StompFormat } from './content.ts'
import { durablePrefix, readDestination, readTemporary, type TemporaryName, writeDestination } from './destinations.ts'
import type { OutgoingMessage } from './encoder.ts'
import { Command, type Frame } from './frame.ts'
import { Header, type Version } from './headers.ts'
import type { StompOptions } from './limits.ts'
import { isOn, toMessage } from './mapping.ts'
import { Receipts } from './receipts.ts'
import { type AckMode, StompSubscription, type SubscriptionHost } from './subscription.ts'

/** What an open session needs of its connection. */
export interface ConnectionHost {
  readonly output: Output
  /** Milliseconds since the epoch, when the bytes being read came in. */
  readonly now: number
  /** The session is full or full no more: stop or go on reading. */
  readable(isReadable: boolean): void
  /** An ERROR is due: the connection ends. */
  fail(error: BrokerError): void
  /** Everything asked before DISCONNECT is safe and its receipt written. */
  finished(): void
}

interface OpenTransaction {
  readonly transaction: Transaction
  readonly acknowledged: Awaited[]
}

/** One connected client: turns its frames into requests of a core session, and what that tells into frames. */
export class StompSession implements SessionEvents, SubscriptionHost {
  readonly version: Version
  readonly outgoing: OutgoingMessage
  readonly #host: ConnectionHost
  readonly #options: StompOptions
  readonly #format: StompFormat
  readonly #subscriptions: Map<string, StompSubscription>
  #session: Session | undefined
  #acks: Acks | undefined
  #receipts: Receipts | undefined
  /** Those for what is no send: they do not wait while sends are held up. */
  #syncReceipts: Receipts | undefined
  #transactions: Map<string, OpenTransaction> | undefined
  #temporaries: Map<string, Address> | undefined
  /** The destination of the last SEND, as raw bytes and as an address. */
  #lastRaw: Uint8Array | undefined
  #lastAddress: Address | undefined
  #refusal: BrokerError | undefined
  #disconnectAt: SendNumber
  #isPaused: boolean

  constructor(
    host: ConnectionHost,
    version: Version,
    format: StompFormat,
    outgoing: OutgoingMessage,
    options: StompOptions,
  ) {
    this.version = version
    this.outgoing = outgoing
    this.#host = host
    this.#options = options
    this.#format = format
    this.#subscriptions = new Map()
    this.#session = undefined
    this.#acks = undefined
    this.#receipts = undefined
    this.#syncReceipts = undefined
    this.#transactions = undefined
    this.#temporaries = undefined
    this.#lastRaw = undefined
    this.#lastAddress = undefined
    this.#refusal = undefined
    this.#disconnectAt = 0
    this.#isPaused = false
  }

  get output(): Output {
    return this.#host.output
  }

  /** The session of the core that this one speaks for. */
  open(session: Session): void {
    this.#session = session
  }

  /** After a DISCONNECT every end is a clean one. */
  close(how: 'clean' | 'lost'): void {
    this.#session?.close(this.#disconnectAt > 0 ? 'clean' : how)
  }

  suspend(): void {
    this.#session?.suspend()
  }

  resume(): void {
    this.#session?.resume()
  }

  /** Carries out one frame. Returns what is wrong with it, if anything; it has had no effect then. */
  handle(frame: Frame): BrokerError | undefined {
    const session = this.#session
    if (session === undefined) return undefined
    switch (frame.command) {
      case Command.send:
        return this.#send(frame, session)
      case Command.ack:
        return this.#settle(frame, session, accepted)
      case Command.nack:
        return this.#settle(frame, session, outcomeOfNack(frame))
      case Command.subscribe:
        return this.#subscribe(frame, session) ?? this.#receipt(frame, session)
      case Command.unsubscribe:
        return this.#unsubscribe(frame, session) ?? this.#receipt(frame, session)
      case Command.begin:
        return this.#begin(frame, session) ?? this.#receipt(frame, session)
      case Command.commit:
        return this.#commit(frame) ?? this.#receiptOfSends(frame, session)
      case Command.abort:
        return this.#abort(frame) ?? this.#receipt(frame, session)
      case Command.disconnect:
        return this.#disconnect(frame, session)
      case Command.connect:
      case Command.stomp:
        return new BrokerError('protocol-error', 'the connection is connected already')
      case Command.connected:
      case Command.message:
      case Command.receipt:
      case Command.error:
        return new BrokerError('protocol-error', `${frame.commandName} is a server's frame`)
      default:
        return frame.command satisfies never
    }
  }

  confirmed(upTo: SendNumber): void {
    // The receipt of a DISCONNECT is among the others, and is the last.
    this.#syncReceipts?.confirmed(upTo, this.output)
    this.#receipts?.confirmed(upTo, this.output)
    if (this.#disconnectAt > 0 && upTo >= this.#disconnectAt) this.#host.finished()
    else this.#pace()
  }

  synced(upTo: SendNumber): void {
    this.#syncReceipts?.confirmed(upTo, this.output)
    this.#pace()
  }

  refused(_send: SendNumber, error: BrokerError): void {
    this.#refusal = error
  }

  blocked(): void {
    this.#pace()
  }

  unblocked(): void {
    this.#pace()
  }

  closed(error: BrokerError): void {
    this.#session = undefined
    this.#host.fail(error)
  }

  awaitAck(delivery: Delivery, subscription: StompSubscription): number {
    this.#acks ??= acksOf(this.version)
    return this.#acks.add(delivery, subscription)
  }

  subscriptionEnded(subscription: StompSubscription, error: BrokerError | undefined): void {
    this.#forget(subscription)
    if (error !== undefined) this.#host.fail(error)
  }

  /** STOMP 1.2 "SEND". */
  #send(frame: Frame, session: Session): BrokerError | undefined {
    const address = this.#addressOfSend(frame, session)
    if (address instanceof BrokerError) return address
    const transaction = this.#transactionOf(frame)
    if (transaction instanceof BrokerError) return transaction
    const replyTo = frame.has(Header.replyTo) ? this.#replyTo(frame, session) : undefined
    if (replyTo instanceof BrokerError) return replyTo
    const message = toMessage(frame, session, { address, format: this.#format, now: this.#host.now, replyTo })
    const number = session.send(message, transaction?.transaction)
    const refusal = this.#refusal
    if (refusal !== undefined) {
      this.#refusal = undefined
      // The one who asked has gone, and its reply queue with it: no fault of the one who answers.
      if (!(refusal.code === 'not-found' && address.isTemporary)) return refusal
    }
    if (frame.has(Header.receipt)) this.#receipts = this.#addReceipt(frame, number, this.#receipts)
    return undefined
  }

  /** STOMP 1.2 "ACK", "NACK". */
  #settle(frame: Frame, session: Session, outcome: Outcome): BrokerError | undefined {
    const transaction = this.#transactionOf(frame)
    if (transaction instanceof BrokerError) return transaction
    const awaited = this.#acks?.find(frame)
    if (awaited === undefined || this.#acks === undefined) return this.#unknownAck(frame)
    const { subscription } = awaited
    for (const delivery of subscription.settle(awaited, outcome, transaction?.transaction)) {
      if (transaction === undefined)
        this.#acks.remove(delivery === awaited.delivery ? awaited : { delivery, subscription })
      else transaction.acknowledged.push({ delivery, subscription })
    }
    return frame.has(Header.receipt) ? this.#receipt(frame, session) : undefined
  }

  #unknownAck(frame: Frame): BrokerError {
    const header = this.version === '1.2' ? Header.id : Header.messageId
    const id = frame.text(header)
    const name = this.version === '1.2' ? 'id' : 'message-id'
    if (id === undefined) return missing(frame, name)
    return new BrokerError('invalid-request', `${frame.commandName}: nothing unacknowledged has the ${name} "${id}"`)
  }

  /** STOMP 1.2 "SUBSCRIBE"; the id is required from 1.1 on. */
  #subscribe(frame: Frame, session: Session): BrokerError | undefined {
    const id = frame.text(Header.id)
    const destination = frame.text(Header.destination)
    if (destination === undefined) return missing(frame, 'destination')
    if (id === undefined && this.version !== '1.0') return missing(frame, 'id')
    const key = keyOf(id, destination)
    if (this.#subscriptions.has(key)) {
      return new BrokerError(
        'already-exists',
        `SUBSCRIBE: this connection has a subscription "${id ?? destination}" already`,
      )
    }
    if (this.#subscriptions.size >= this.#options.subscriptionsMax) {
      return new BrokerError(
        'limit-exceeded',
        `more than ${this.#options.subscriptionsMax} subscriptions (subscriptionsMax)`,
      )
    }
    const mode = ackMode(frame)
    if (mode instanceof BrokerError) return mode
    const request = this.#requestOf(frame, session, destination)
    if (request instanceof BrokerError) return request
    const { address, browse = false, name: durableName } = request
    const prefetch = this.#prefetch(frame)
    const subscription = new StompSubscription(this, { id, address, destination, mode, prefetch, browse, durableName })
    const held = session.subscribe({ ...request, consumer: subscription, presettled: mode === 'auto' })
    if (held instanceof BrokerError) return held
    this.#subscriptions.set(key, subscription)
    subscription.open(held)
    return undefined
  }

  #requestOf(
    frame: Frame,
    session: Session,
    destination: string,
  ): Omit<SubscribeRequest, 'consumer' | 'presettled'> | BrokerError {
    if (destination.startsWith(durablePrefix)) {
      const name = destination.slice(durablePrefix.length)
      const found = session.findSubscription(name)
      if (found === undefined) return new BrokerError('not-found', `there is no durable subscription "${name}"`)
      return { address: found.address, selector: found.selector, name, durable: true }
    }
    const address = this.#address(frame, session, destination)
    if (address instanceof BrokerError) return address
    const name = durableNameOf(frame)
    return {
      address,
      selector: frame.text(Header.selector),
      noLocal: isOn(frame, Header.activemqNoLocal) || isOn(frame, Header.noLocal),
      exclusive: isOn(frame, Header.activemqExclusive),
      priority: priorityOf(frame),
      browse: frame.equals(Header.browser, 'true'),
      ...(address.kind === 'topic' && name !== undefined ? { name, durable: true } : {}),
    }
  }

  #unsubscribe(frame: Frame, session: Session): BrokerError | undefined {
    const id = frame.text(Header.id)
    const destination = frame.text(Header.destination)
    if (id === undefined && (this.version !== '1.0' || destination === undefined)) return missing(frame, 'id')
    const subscription = this.#subscriptions.get(keyOf(id, destination ?? ''))
    const name = subscription?.durableName ?? durableNameOf(frame)
    const deletes = name !== undefined && durableNameOf(frame) !== undefined
    if (subscription === undefined && !deletes) {
      return new BrokerError('not-found', `UNSUBSCRIBE: this connection has no subscription "${id ?? destination}"`)
    }
    if (subscription !== undefined) {
      this.#forget(subscription)
      subscription.close()
    }
    return deletes ? session.deleteSubscription(name) : undefined
  }

  #begin(frame: Frame, session: Session): BrokerError | undefined {
    const name = frame.text(Header.transaction)
    if (name === undefined) return missing(frame, 'transaction')
    this.#transactions ??= new Map()
    if (this.#transactions.has(name)) {
      return new BrokerError('invalid-transaction', `BEGIN: a transaction "${name}" is open already`)
    }
    const transaction = session.begin()
    if (transaction instanceof BrokerError) return transaction
    this.#transactions.set(name, { transaction, acknowledged: [] })
    return undefined
  }

  #commit(frame: Frame): BrokerError | undefined {
    const open = this.#endTransaction(frame)
    if (open instanceof BrokerError) return open
    open.transaction.commit()
    const refusal = this.#refusal
    this.#refusal = undefined
    if (refusal === undefined) for (const awaited of open.acknowledged) this.#acks?.remove(awaited)
    return refusal
  }

  #abort(frame: Frame): BrokerError | undefined {
    const open = this.#endTransaction(frame)
    if (open instanceof BrokerError) return open
    open.transaction.abort()
    return undefined
  }

  #endTransaction(frame: Frame): OpenTransaction | BrokerError {
    const open = this.#transactionOf(frame)
    if (open instanceof BrokerError) return open
    if (open === undefined) return missing(frame, 'transaction')
    this.#transactions?.delete(frame.text(Header.transaction) ?? '')
    return open
  }

  /** STOMP 1.2 "DISCONNECT": the receipt comes after everything before it; nothing is read any more. */
  #disconnect(frame: Frame, session: Session): undefined {
    this.#disconnectAt = session.sync()
    if (frame.has(Header.receipt)) this.#receipts = this.#addReceipt(frame, this.#disconnectAt, this.#receipts)
  }

  #receipt(frame: Frame, session: Session): undefined {
    if (frame.has(Header.receipt)) this.#syncReceipts = this.#addReceipt(frame, session.sync(), this.#syncReceipts)
  }

  /** The receipt of a COMMIT slows the producer down as those of its SENDs do. */
  #receiptOfSends(frame: Frame, session: Session): undefined {
    if (frame.has(Header.receipt)) this.#receipts = this.#addReceipt(frame, session.sync(), this.#receipts)
  }

  #addReceipt(frame: Frame, number: SendNumber, receipts = new Receipts()): Receipts {
    receipts.add(number, frame.bytes, frame.valueStart(Header.receipt), frame.valueEnd(Header.receipt))
    if (receipts.count > this.#options.unconfirmedSendsMax) this.#pace()
    return receipts
  }

  /**
   * Reading stops while too much is unconfirmed, and while the session is blocked, unless acknowledgements may be
   * among what would be read.
   */
  #pace(): void {
    const count = (this.#receipts?.count ?? 0) + (this.#syncReceipts?.count ?? 0)
    const isFull = count > this.#options.unconfirmedSendsMax
    const isBlocked = (this.#session?.isBlocked ?? false) && this.#subscriptions.size === 0
    if (this.#isPaused === (isFull || isBlocked)) return
    this.#isPaused = !this.#isPaused
    this.#host.readable(!this.#isPaused)
  }

  #transactionOf(frame: Frame): OpenTransaction | undefined | BrokerError {
    if (!frame.has(Header.transaction)) return undefined
    const name = frame.text(Header.transaction) ?? ''
    return (
      this.#transactions?.get(name) ??
      new BrokerError('invalid-transaction', `${frame.commandName}: no transaction "${name}" is open`)
    )
  }

  #addressOfSend(frame: Frame, session: Session): Address | BrokerError {
    if (this.#lastRaw !== undefined && frame.equalsBytes(Header.destination, this.#lastRaw)) {
      if (this.#lastAddress !== undefined) return this.#lastAddress
    }
    const destination = frame.text(Header.destination)
    if (destination === undefined) return missing(frame, 'destination')
    const address = this.#address(frame, session, destination)
    if (!(address instanceof BrokerError) && !frame.has(Header.destinationType)) {
      this.#lastRaw = frame.rawValue(Header.destination)
      this.#lastAddress = address
    }
    return address
  }

  #address(frame: Frame, session: Session, destination: string): Address | BrokerError {
    const temporary = readTemporary(destination)
    if (temporary !== undefined) return this.#temporary(temporary, session)
    const type = frame.text(Header.destinationType)?.toLowerCase()
    return readDestination(destination, type === 'topic' || type === 'multicast' ? 'topic' : 'queue')
  }

  /** The connection's own temporary destination of that name, made now if need be. */
  #temporary(temporary: TemporaryName, session: Session): Address | BrokerError {
    const key = `${temporary.kind}/${temporary.name}`
    const found = this.#temporaries?.get(key)
    if (found !== undefined) return found
    const address = session.createTemporary(temporary.kind)
    if (address instanceof BrokerError) return address
    this.#temporaries ??= new Map()
    this.#temporaries.set(key, address)
    return address
  }

  /** How others can write the sender's own temporary destination; undefined for any other reply-to. */
  #replyTo(frame: Frame, session: Session): string | undefined | BrokerError {
    const temporary = readTemporary(frame.text(Header.replyTo) ?? '')
    if (temporary === undefined) return undefined
    const address = this.#temporary(temporary, session)
    return address instanceof BrokerError ? address : writeDestination(address)
  }

  #prefetch(frame: Frame): number {
    for (const header of [Header.activemqPrefetchSize, Header.prefetchCount]) {
      const wanted = frame.number(header)
      if (!Number.isNaN(wanted)) return Math.min(Math.max(wanted, 1), this.#options.prefetchMax)
    }
    return this.#options.defaultPrefetch
  }

  #forget(subscription: StompSubscription): void {
    for (const [key, other] of this.#subscriptions) if (other === subscription) this.#subscriptions.delete(key)
    this.#acks?.removeAll(subscription)
    if (this.#isPaused || this.#session?.isBlocked === true) this.#pace()
  }
}

function ackMode(frame: Frame): AckMode | BrokerError {
  const mode = frame.text(Header.ack) ?? 'auto'
  if (mode === 'auto' || mode === 'client' || mode === 'client-individual') return mode
  return new BrokerError('invalid-request', `SUBSCRIBE: ack must be auto, client or client-individual, not "${mode}"`)
}

/** The name of a durable subscription: ActiveMQ's or Artemis's header, or with `durable:true` the id. */
function durableNameOf(frame: Frame): string | undefined {
  const name = frame.text(Header.activemqSubscriptionName) ?? frame.text(Header.durableSubscriptionName)
  if (name !== undefined) return name
  return frame.equals(Header.durable, 'true') ? frame.text(Header.id) : undefined
}

/** A NACK is a failed delivery, or with `requeue:false` the last one. */
function outcomeOfNack(frame: Frame): Outcome {
  if (frame.equals(Header.requeue, 'false')) return { kind: 'rejected', reason: 'refused by its consumer (NACK)' }
  return failed
}

function priorityOf(frame: Frame): number {
  const priority = frame.number(Header.activemqPriority)
  return Number.isNaN(priority) ? 0 : Math.min(priority, 127)
}

function keyOf(id: string | undefined, destination: string): string {
  return id === undefined ? `destination ${destination}` : `id ${id}`
}

function missing(frame: Frame, header: string): BrokerError {
  return new BrokerError('invalid-request', `${frame.commandName} needs the header ${header}`)
}
