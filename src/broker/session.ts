import type { Address, AddressKind } from '../address.ts'
import { BrokerError } from '../errors.ts'
import type { Message } from '../message.ts'
import { MessageSource } from '../message.ts'
import type { NamedSubscriptionInfo, SendNumber, Session, SessionEvents, SubscribeRequest } from '../session.ts'
import type { Access, Action, Identity } from './access.ts'
import type { Commits, Confirmable } from './commits.ts'
import type { Context } from './context.ts'
import type { Sender } from './flow.ts'
import type { Destination, Router } from './router.ts'
import type { StateChange } from './states.ts'
import type { BrokerSubscription } from './subscription.ts'
import type { Subscriptions } from './subscriptions.ts'
import { Topic } from './topic.ts'
import { BrokerTransaction, type Held } from './transaction.ts'

/** What a session needs of its broker. */
export interface SessionHost extends Context {
  readonly router: Router
  readonly subscriptions: Subscriptions
  readonly commits: Commits
  readonly access: Access
  readonly isClosing: boolean
  /** The session has settled the last of its deliveries. */
  drained(): void
  ended(session: BrokerSession): void
}

/** Message ids begin with this and the id of their session. */
const idPrefixStart = 'ID:'

/** One client's dealings with the broker. */
export class BrokerSession implements Session, Sender, Confirmable {
  readonly identity: Identity
  readonly source: MessageSource
  isTouched: boolean
  needsCommit: boolean
  isSuspended: boolean
  isClosed: boolean
  readonly #host: SessionHost
  readonly #events: SessionEvents
  readonly #subscriptions: Set<BrokerSubscription>
  #transactions: Set<BrokerTransaction> | undefined
  #temporaries: Address[] | undefined
  #lastAddress: Address | undefined
  #lastDestination: Destination | undefined
  #sent: SendNumber
  /** What may be confirmed, and what has been. */
  #safe: SendNumber
  #confirmed: SendNumber
  /** The last number that a sync gave, and up to where syncs have been answered although sends are withheld. */
  #lastSync: SendNumber
  #synced: SendNumber
  /** Commits awaited, each with the last number that it makes safe. */
  #marks: { upTo: SendNumber; readonly commit: number }[]
  #gatesShut: number
  #temporaryCount: number

  constructor(host: SessionHost, id: string, identity: Identity, events: SessionEvents) {
    this.identity = identity
    // Joined, it is one string in memory; a template would be a tree of several.
    this.source = new MessageSource([idPrefixStart, id, '-'].join(''), identity.clientId, identity.principal)
    this.isTouched = false
    this.needsCommit = false
    this.isSuspended = false
    this.isClosed = false
    this.#host = host
    this.#events = events
    this.#subscriptions = new Set()
    this.#transactions = undefined
    this.#temporaries = undefined
    this.#lastAddress = undefined
    this.#lastDestination = undefined
    this.#sent = 0
    this.#safe = 0
    this.#confirmed = 0
    this.#lastSync = 0
    this.#synced = 0
    this.#marks = []
    this.#gatesShut = 0
    this.#temporaryCount = 0
  }

  /** Tells it from every other, over restarts too. */
  get id(): string {
    return this.source.idPrefix.slice(idPrefixStart.length, -1)
  }

  get clientId(): string | undefined {
    return this.identity.clientId
  }

  get isBlocked(): boolean {
    return this.#gatesShut > 0
  }

  get unsettledCount(): number {
    let count = 0
    for (const subscription of this.#subscriptions) count += subscription.unsettledCount
    return count
  }

  send(message: Message, transaction?: BrokerTransaction): SendNumber {
    this.#sent += 1
    const number = this.#sent
    const refusal = transaction === undefined ? this.#publish(message) : this.#refusalIn(transaction)
    if (transaction !== undefined && refusal === undefined) transaction.send(message)
    if (refusal !== undefined) this.#events.refused(number, refusal)
    this.#host.commits.touch(this)
    return number
  }

  sync(): SendNumber {
    this.#sent += 1
    this.needsCommit = true
    this.#lastSync = this.#sent
    this.#host.commits.touch(this)
    return this.#sent
  }

  get wentNowhere(): boolean {
    const last = this.#lastDestination
    return last instanceof Topic && last.wentNowhere
  }

  state(key: string): Uint8Array | undefined {
    return this.#host.states.get(key)
  }

  putState(key: string, value: Uint8Array | undefined, transaction?: BrokerTransaction): BrokerError | undefined {
    const change = { key, value }
    const refusal = this.#host.states.refusal(change)
    if (refusal !== undefined) return refusal
    if (transaction !== undefined) {
      // The adapter may use its buffer for something else before the transaction is committed.
      const copy = value === undefined ? undefined : Buffer.from(value)
      const overfull = this.#refusalIn(transaction)
      if (overfull === undefined) transaction.putState({ key, value: copy })
      return overfull
    }
    this.#putState(change)
    return undefined
  }

  subscribe(request: SubscribeRequest): BrokerSubscription | BrokerError {
    const { limits } = this.#host
    if (this.isClosed || this.#host.isClosing) return shuttingDown()
    if (this.#subscriptions.size >= limits.subscriptionsPerSessionMax) {
      return new BrokerError('limit-exceeded', `more than ${limits.subscriptionsPerSessionMax} subscriptions`)
    }
    const denied = this.mayReceive(request.address, request.browse === true ? 'browse' : 'receive')
    if (denied !== undefined) return denied
    const subscription = this.#host.subscriptions.subscribe(this, request)
    if (!(subscription instanceof BrokerError)) this.#subscriptions.add(subscription)
    return subscription
  }

  /** Why it may not subscribe to the address, if it may not. */
  mayReceive(address: Address, action: Action = 'receive'): BrokerError | undefined {
    return this.#host.access.authorise(this.identity, action, address)
  }

  findSubscription(name: string, isGlobal = false): NamedSubscriptionInfo | undefined {
    return this.#host.subscriptions.find(isGlobal ? undefined : this.clientId, name)
  }

  deleteSubscription(name: string, isGlobal = false): BrokerError | undefined {
    return this.#host.subscriptions.remove(isGlobal ? undefined : this.clientId, name)
  }

  begin(): BrokerTransaction | BrokerError {
    if (this.isClosed) return shuttingDown()
    const { transactionsPerSessionMax } = this.#host.limits
    if ((this.#transactions?.size ?? 0) >= transactionsPerSessionMax) {
      return new BrokerError('limit-exceeded', `more than ${transactionsPerSessionMax} open transactions`)
    }
    const transaction = new BrokerTransaction(this, this.#host.limits.transactionOperationsMax)
    this.#transactions ??= new Set()
    this.#transactions.add(transaction)
    return transaction
  }

  createTemporary(kind: AddressKind): Address | BrokerError {
    if (this.isClosed) return shuttingDown()
    const { temporaryDestinationsPerSessionMax } = this.#host.limits
    if ((this.#temporaries?.length ?? 0) >= temporaryDestinationsPerSessionMax) {
      return new BrokerError('limit-exceeded', `more than ${temporaryDestinationsPerSessionMax} temporary destinations`)
    }
    this.#temporaryCount += 1
    const address = this.#host.router.createTemporary(this, kind, `${this.id}-${this.#temporaryCount}`)
    this.#temporaries ??= []
    this.#temporaries.push(address)
    return address
  }

  deleteTemporary(address: Address): void {
    const index = this.#temporaries?.findIndex((own) => own.equals(address)) ?? -1
    if (index < 0) return
    this.#temporaries?.splice(index, 1)
    this.#host.router.deleteDestination(address)
  }

  suspend(): void {
    this.isSuspended = true
  }

  resume(): void {
    if (!this.isSuspended || this.#host.isClosing) return
    this.isSuspended = false
    for (const subscription of this.#subscriptions) subscription.offer()
  }

  close(how: 'clean' | 'lost' = 'clean'): void {
    if (this.isClosed) return
    this.isClosed = true
    for (const transaction of [...(this.#transactions ?? [])]) transaction.abort()
    for (const subscription of [...this.#subscriptions]) subscription.finish(how)
    for (const address of this.#temporaries ?? []) this.#host.router.deleteDestination(address)
    this.#host.memory.gate.forget(this)
    this.#host.ended(this)
  }

  /** The broker ends the session and tells its adapter why. */
  end(error: BrokerError): void {
    if (this.isClosed) return
    this.close('clean')
    this.#events.closed(error)
  }

  /** Applies a transaction: all of it, or, if one of the sends is refused, none. */
  apply({ sends, settlements, states, refusal }: Held): SendNumber {
    const places = refusal ?? this.#placesOf(sends)
    if (places instanceof BrokerError) {
      for (const { delivery } of settlements) delivery.subscription?.undo(delivery)
      const number = this.sync()
      this.#events.refused(number, places)
      return number
    }
    for (const { destination, message } of places) this.#put(destination, message, destination.admit() !== 'take')
    for (const { delivery, outcome } of settlements) delivery.subscription?.apply(delivery, outcome)
    for (const change of states) this.#putState(change)
    return this.sync()
  }

  /** A transaction has ended. */
  ended(transaction: BrokerTransaction): void {
    this.#transactions?.delete(transaction)
  }

  /** A subscription has ended. */
  forget(subscription: BrokerSubscription): void {
    this.#subscriptions.delete(subscription)
  }

  /** A subscription has nothing unsettled any more. */
  drained(): void {
    if (this.#host.isClosing) this.#host.drained()
  }

  hold(): void {
    this.#gatesShut += 1
    if (this.#gatesShut === 1 && !this.isClosed) this.#events.blocked()
  }

  free(): void {
    this.#gatesShut -= 1
    if (this.#gatesShut > 0 || this.isClosed) return
    this.#events.unblocked()
    this.confirm()
  }

  settleNow(): void {
    this.needsCommit = false
    const last = this.#marks.at(-1)
    if (last === undefined) this.#safe = this.#sent
    else last.upTo = this.#sent
  }

  await(commit: number): void {
    this.needsCommit = false
    this.#marks.push({ upTo: this.#sent, commit })
  }

  committed(commit: number): void {
    for (let mark = this.#marks[0]; mark !== undefined && mark.commit <= commit; mark = this.#marks[0]) {
      this.#marks.shift()
      this.#safe = mark.upTo
    }
    this.confirm()
  }

  confirm(): void {
    if (this.#safe === this.#confirmed || this.isClosed) return
    if (this.#gatesShut > 0) {
      this.#answerSyncs()
      return
    }
    this.#confirmed = this.#safe
    this.#events.confirmed(this.#confirmed)
  }

  #answerSyncs(): void {
    if (this.#safe === this.#synced || this.#lastSync <= this.#synced) return
    this.#synced = this.#safe
    this.#events.synced?.(this.#safe)
  }

  #publish(message: Message): BrokerError | undefined {
    const destination = this.#destination(message.address)
    if (destination instanceof BrokerError) return destination
    const verdict = this.#admit(destination, message, 0)
    if (verdict instanceof BrokerError) return verdict
    this.#put(destination, message, verdict === 'hold')
    return undefined
  }

  #put(destination: Destination, message: Message, isFull: boolean): void {
    this.#host.received?.(message)
    if (destination.put(message)) this.needsCommit = true
    if (isFull) destination.hold(this)
    const { memory } = this.#host
    if (memory.bytes > memory.bytesMax) memory.gate.hold(this)
  }

  /** `ahead`: bytes of messages that are to be put before this one. */
  #admit(destination: Destination, message: Message, ahead: number): 'take' | 'hold' | BrokerError {
    const { memory, limits } = this.#host
    if (message.contentBytes > limits.messageBytesMax) {
      return new BrokerError(
        'message-too-large',
        `a message of ${message.contentBytes} bytes is over the limit of ${limits.messageBytesMax}`,
      )
    }
    if (message.durable && this.#host.storeRefusal !== undefined) return this.#host.storeRefusal
    const bytes = memory.bytes + ahead
    if (bytes + message.size > memory.bytesMax && bytes >= memory.bytesMax * limits.hardLimitFactor) {
      return new BrokerError('resource-exhausted', `the broker's memory for messages is full: ${bytes} bytes`)
    }
    return destination.admit()
  }

  /** Where an address leads, if this session may send there; the last answer is remembered. */
  #destination(address: Address): Destination | BrokerError {
    if (this.isClosed || this.#host.isClosing) return shuttingDown()
    const last = this.#lastDestination
    if (address === this.#lastAddress && last !== undefined && !last.isDeleted) return last
    const denied = this.#host.access.authorise(this.identity, 'send', address)
    if (denied !== undefined) return denied
    const destination = this.#host.router.destination(address)
    if (destination instanceof BrokerError) return destination
    this.#lastAddress = address
    this.#lastDestination = destination
    return destination
  }

  #putState(change: StateChange): void {
    if (this.#host.states.put(change)) this.needsCommit = true
  }

  /** Why a transaction takes no more operations, if it does not. */
  #refusalIn(transaction: BrokerTransaction): BrokerError | undefined {
    if (!transaction.isOpen) return new BrokerError('invalid-transaction', 'the transaction has ended')
    return transaction.overfull
  }

  /** Where the messages go, or why they cannot all be put one after the other: each is counted before the next is looked at. */
  #placesOf(sends: readonly Message[]): readonly Place[] | BrokerError {
    const places: Place[] = []
    let refusal: BrokerError | undefined
    let ahead = 0
    for (const message of sends) {
      const destination = this.#destination(message.address)
      const verdict = destination instanceof BrokerError ? destination : this.#admit(destination, message, ahead)
      if (verdict instanceof BrokerError) refusal = verdict
      if (destination instanceof BrokerError || refusal !== undefined) break
      destination.reserve(message)
      places.push({ destination, message })
      ahead += message.size
    }
    for (const { destination, message } of places) destination.unreserve(message)
    return refusal ?? places
  }
}

/** Where one message of a transaction goes. */
interface Place {
  readonly destination: Destination
  readonly message: Message
}

function shuttingDown(): BrokerError {
  return new BrokerError('shutting-down', 'the broker is shutting down')
}
