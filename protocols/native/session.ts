import {
  Address,
  accepted,
  type Broker,
  BrokerError,
  type Delivery,
  failed,
  type Identity,
  type Message,
  type Outcome,
  released,
  type SendNumber,
  type Session,
  type SessionEvents,
  type Transaction,
} from '../../src/core.ts'
import type { ClientSide } from './client-side.ts'
import { ConsumerLink } from './consumer-link.ts'
import { administer } from './destination-requests.ts'
import type { Fields } from './encoder.ts'
import type { FieldMap } from './fields.ts'
import { OutcomeCode, TransactionEnd } from './frame.ts'
import { linkMax } from './limits.ts'
import { namedProducers } from './named.ts'
import type { NativeOptions } from './options.ts'
import { type Confirm, ProducerLink } from './producer-link.ts'
import { ProducerState } from './producer-state.ts'
import { subscribeRequest } from './subscribe-request.ts'
import { errorFields } from './wire-errors.ts'

/** What a client says with a SETTLE. */
export interface Settling {
  readonly link: number
  readonly outcome: number
  readonly ranges: readonly (readonly [from: number, to: number])[]
  readonly delayMs: number | undefined
  readonly reason: string | undefined
}

interface OpenTransaction {
  readonly transaction: Transaction
  /** What it settles, by delivery. */
  readonly settled: Map<Delivery, { readonly link: ConsumerLink; readonly number: number }>
  /** Why it can only be rolled back. */
  refusal: BrokerError | undefined
}

/** An answer that waits until everything asked so far is safe. */
interface Awaited {
  readonly number: SendNumber
  readonly corr: number
  readonly fields: Fields
}

export interface NativeSessionOptions {
  readonly broker: Broker
  readonly identity: Identity
  readonly options: NativeOptions
  readonly now: () => number
}

/** One client at the broker: its links and transactions over sessions of the core. Knows no bytes. */
export class NativeSession implements SessionEvents {
  readonly client: ClientSide
  readonly #given: NativeSessionOptions
  readonly #producers: Map<number, ProducerLink>
  readonly #consumers: Map<number, ConsumerLink>
  readonly #transactions: Map<number, OpenTransaction>
  /** Live links of named producers, of all sessions of the broker. */
  readonly #named: Map<string, ProducerLink>
  #touched: ProducerLink[]
  #session: Session | undefined
  #awaited: Awaited[]
  #highestLink: number
  #refusal: BrokerError | undefined

  constructor(client: ClientSide, given: NativeSessionOptions) {
    this.client = client
    this.#given = given
    this.#producers = new Map()
    this.#consumers = new Map()
    this.#transactions = new Map()
    this.#named = namedProducers(given.broker)
    this.#touched = []
    this.#session = undefined
    this.#awaited = []
    this.#highestLink = 0
    this.#refusal = undefined
  }

  /** Begins the session at the broker; the reason if it cannot. Returns its id. */
  open(): string | BrokerError {
    const { broker, identity } = this.#given
    const session = broker.connect(identity, this)
    if (session instanceof BrokerError) return session
    this.#session = session
    return session.id
  }

  get now(): number {
    return this.#given.now()
  }

  producer(link: number): ProducerLink | undefined {
    return this.#producers.get(link)
  }

  /** True for a link that was there: what still comes for it means nothing. */
  hasEnded(link: number): boolean {
    return link > 0 && link <= this.#highestLink && !this.#producers.has(link) && !this.#consumers.has(link)
  }

  openProducer(corr: number, link: number, fields: FieldMap): void {
    const made = this.#newProducer(link, fields)
    if (made instanceof BrokerError) {
      this.client.error(corr, errorFields(made))
      return
    }
    this.#producers.set(link, made)
    const { producerCredit, producerCreditBytes } = this.#given.options
    this.client.ok(corr, {
      credit: whole(producerCredit),
      creditBytes: whole(producerCreditBytes),
      lastSeq: whole(made.state?.lastSeq ?? 0),
      instance: made.state?.lastInstance,
      rejected: { type: 'list', value: (made.state?.rejected ?? []).map(whole) },
    })
  }

  openConsumer(corr: number, link: number, fields: FieldMap): void {
    const session = this.#session
    if (session === undefined) return
    const fault = this.#linkFault(link)
    const request = fault ?? subscribeRequest(fields)
    if (request instanceof BrokerError) {
      this.client.error(corr, errorFields(request))
      return
    }
    const consumer = new ConsumerLink(this, link, request.presettled || request.browse === true)
    const subscription = session.subscribe({ ...request, consumer })
    if (subscription instanceof BrokerError) {
      this.client.error(corr, errorFields(subscription))
      return
    }
    this.#consumers.set(link, consumer)
    if (request.durable === true) this.#awaited.push({ number: session.sync(), corr, fields: {} })
    else this.client.ok(corr, {})
    consumer.grant(Math.min(fields.number('credit') ?? 0, this.#creditRoom(0)), fields.number('creditBytes') ?? 0)
    consumer.open(subscription)
  }

  closeLink(corr: number, link: number): void {
    this.#closeLink(link, 'clean')
    if (corr > 0) this.client.ok(corr, {})
  }

  /** Sends in a transaction, begun now if it is not open; the reason if that cannot be. */
  sendIn(number: number, message: Message): BrokerError | undefined {
    const open = this.#transaction(number)
    if (open instanceof BrokerError) return open
    this.#session?.send(message, open.transaction)
    const refusal = this.#takeRefusal()
    open.refusal ??= refusal
    return refusal
  }

  resumeLater(link: ProducerLink): void {
    this.#given.broker.turn.markDispatch(link)
  }

  /** Settles deliveries; in a transaction if `number` is not 0. Returns what is wrong with it. */
  settle(corr: number, number: number, settling: Settling): BrokerError | undefined {
    const consumer = this.#consumers.get(settling.link)
    const outcome = outcomeOf(settling)
    if (outcome === undefined) {
      return new BrokerError('protocol-error', `SETTLE: there is no outcome ${settling.outcome}`)
    }
    if (consumer !== undefined) {
      for (const [, to] of settling.ranges) {
        if (!consumer.knows(to)) return new BrokerError('protocol-error', `SETTLE: delivery ${to} was never sent`)
      }
      if (number > 0) {
        const open = this.#transaction(number)
        if (open instanceof BrokerError) return this.#answerSettle(corr, open)
        for (const [from, to] of settling.ranges) {
          consumer.settleIn(open.transaction, { from, to, outcome }, (delivery, at) =>
            open.settled.set(delivery, { link: consumer, number: at }),
          )
        }
      } else for (const [from, to] of settling.ranges) consumer.settle(from, to, outcome)
    }
    return this.#answerSettle(corr, undefined)
  }

  credit(link: number, messages: number, bytes: number, drain: boolean): void {
    const consumer = this.#consumers.get(link)
    consumer?.grant(Math.min(messages, this.#creditRoom(consumer.credit)), bytes)
    if (drain) consumer?.drain()
  }

  endTransaction(corr: number, number: number, how: number): void {
    const open = this.#transactions.get(number)
    this.#transactions.delete(number)
    if (how !== TransactionEnd.commit || open === undefined || open.refusal !== undefined) {
      open?.transaction.abort()
      if (how === TransactionEnd.commit && open?.refusal !== undefined) {
        this.client.error(corr, errorFields(open.refusal))
      } else this.client.ok(corr, {})
      return
    }
    const committed = open.transaction.commit()
    const refusal = this.#takeRefusal()
    if (refusal !== undefined) {
      this.client.error(corr, errorFields(refusal))
      return
    }
    for (const { link, number: delivery } of open.settled.values()) link.forget(delivery)
    this.#awaited.push({ number: committed, corr, fields: {} })
  }

  /** DEST: makes, looks at and removes destinations. */
  destination(corr: number, fields: FieldMap): void {
    const session = this.#session
    if (session === undefined) return
    const { broker, identity } = this.#given
    const result = administer(fields, { broker, identity, session })
    if (result instanceof BrokerError) this.client.error(corr, errorFields(result))
    else this.#awaited.push({ number: session.sync(), corr, fields: result })
  }

  /** All that came in one piece has been read. */
  endOfInput(): void {
    const touched = this.#touched
    if (touched.length === 0) return
    this.#touched = []
    for (const link of touched) link.endOfInput()
  }

  /** Answers once everything asked so far is safe. */
  whenSafe(corr: number): void {
    const session = this.#session
    if (session !== undefined) this.#awaited.push({ number: session.sync(), corr, fields: {} })
  }

  suspend(): void {
    this.#session?.suspend()
  }

  resume(): void {
    this.#session?.resume()
  }

  close(how: 'clean' | 'lost'): void {
    this.endOfInput()
    const session = this.#session
    this.#session = undefined
    for (const link of [...this.#producers.keys()]) this.#closeLink(link, how)
    session?.close(how)
    this.#consumers.clear()
  }

  touched(link: ProducerLink): void {
    link.isTouched = true
    this.#touched.push(link)
  }

  producerEnded({ link, state }: ProducerLink, error: BrokerError): void {
    const producer = this.#producers.get(link)
    this.#producers.delete(link)
    if (state !== undefined && this.#named.get(state.key) === producer) this.#named.delete(state.key)
    this.client.closeLink(link, errorFields(error))
  }

  linkEnded(link: number, error: BrokerError | undefined): void {
    this.#consumers.delete(link)
    this.client.closeLink(link, error === undefined ? undefined : errorFields(error))
  }

  confirmed(upTo: SendNumber): void {
    let count = 0
    for (const { number, corr, fields } of this.#awaited) {
      if (number > upTo) break
      if (corr > 0) this.client.ok(corr, fields)
      count += 1
    }
    if (count > 0) this.#awaited.splice(0, count)
  }

  refused(_send: SendNumber, error: BrokerError): void {
    this.#refusal = error
  }

  blocked(): void {
    // Only transactions send in this session; the next one waits for its confirm.
  }

  unblocked(): void {
    // The confirms come by themselves.
  }

  closed(error: BrokerError): void {
    this.#session = undefined
    this.client.end(errorFields(error))
  }

  #newProducer(link: number, fields: FieldMap): ProducerLink | BrokerError {
    const fault = this.#linkFault(link)
    if (fault !== undefined) return fault
    const { broker, identity, options } = this.#given
    const to = fields.text('destination')
    const address = to === undefined ? undefined : Address.parse(to)
    if (address instanceof BrokerError) return address
    if (address?.isPattern === true) {
      return new BrokerError('invalid-destination', `${address} is a pattern; a message needs one destination`)
    }
    const denied = address === undefined ? undefined : broker.access.authorise(identity, 'send', address)
    if (denied !== undefined) return denied
    const confirm = confirmOf(fields.text('confirm'))
    if (confirm === undefined) {
      return new BrokerError('invalid-request', 'PRODUCER: confirm must be stored, accepted or none')
    }
    const name = fields.text('name')
    if (this.#session === undefined) return new BrokerError('shutting-down', 'the broker is shutting down')
    const state = name === undefined ? undefined : ProducerState.of(this.#session, name, fields.text('instance') ?? '')
    const { producerCredit: credit, producerCreditBytes: creditBytes } = options
    const made = new ProducerLink(this, { link, address, confirm, credit, creditBytes, state })
    const session = broker.connect(identity, made)
    if (session instanceof BrokerError) return session
    made.open(session)
    if (state !== undefined) takeOver(this.#named, state.key, made)
    return made
  }

  #linkFault(link: number): BrokerError | undefined {
    const { linksMax } = this.#given.options
    if (link < 1 || link > linkMax) return new BrokerError('invalid-request', `a link is 1 to ${linkMax}, not ${link}`)
    if (this.#producers.has(link) || this.#consumers.has(link)) {
      return new BrokerError('already-exists', `there is a link ${link} already`)
    }
    if (this.#producers.size + this.#consumers.size >= linksMax) {
      return new BrokerError('limit-exceeded', `more than ${linksMax} links (linksMax)`)
    }
    if (link > this.#highestLink) this.#highestLink = link
    return undefined
  }

  #closeLink(link: number, how: 'clean' | 'lost'): void {
    const producer = this.#producers.get(link)
    if (producer !== undefined) {
      this.#producers.delete(link)
      producer.endOfInput()
      const key = producer.state?.key
      if (key !== undefined && this.#named.get(key) === producer) this.#named.delete(key)
      producer.close(how)
    }
    const consumer = this.#consumers.get(link)
    this.#consumers.delete(link)
    consumer?.close()
  }

  /** The transaction of that number, begun now if it is not open. */
  #transaction(number: number): OpenTransaction | BrokerError {
    const found = this.#transactions.get(number)
    if (found !== undefined) return found
    const transaction = this.#session?.begin() ?? new BrokerError('shutting-down', 'the broker is shutting down')
    if (transaction instanceof BrokerError) return transaction
    const open = { transaction, settled: new Map(), refusal: undefined }
    this.#transactions.set(number, open)
    return open
  }

  #takeRefusal(): BrokerError | undefined {
    const refusal = this.#refusal
    this.#refusal = undefined
    return refusal
  }

  #answerSettle(corr: number, error: BrokerError | undefined): undefined {
    if (corr === 0) return
    if (error === undefined) this.whenSafe(corr)
    else this.client.error(corr, errorFields(error))
  }

  #creditRoom(credit: number): number {
    return Math.max(0, this.#given.options.consumerCreditMax - credit)
  }
}

/** A named producer that comes again, on another connection perhaps, ends the one before. */
function takeOver(named: Map<string, ProducerLink>, key: string, made: ProducerLink): void {
  const before = named.get(key)
  named.set(key, made)
  if (before === undefined) return
  before.close('clean')
  before.closed(new BrokerError('taken-over', 'the same named producer was opened again'))
}

function confirmOf(text: string | undefined): Confirm | undefined {
  if (text === undefined) return 'stored'
  return text === 'stored' || text === 'accepted' || text === 'none' ? text : undefined
}

function outcomeOf({ outcome, delayMs, reason }: Settling): Outcome | undefined {
  switch (outcome) {
    case OutcomeCode.accept:
      return accepted
    case OutcomeCode.release:
      return released
    case OutcomeCode.fail:
      return delayMs === undefined ? failed : { kind: 'modified', delayMs }
    case OutcomeCode.reject:
      return { kind: 'rejected', reason: reason === undefined || reason === '' ? 'refused by its consumer' : reason }
    default:
      return undefined
  }
}

function whole(value: number): { readonly type: 'ulong'; readonly value: bigint } {
  return { type: 'ulong', value: BigInt(value) }
}
