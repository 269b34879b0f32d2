import { Addresses } from '../../protocols/native/addresses.ts'
import { bodyBytes, Outgoing } from '../../protocols/native/client/body.ts'
import type { Environment } from '../../protocols/native/client/environment.ts'
import { ManifoldError } from '../../protocols/native/client/errors.ts'
import type { Arrival } from '../../protocols/native/client/message.ts'
import type { Dialled, Peer, PeerEvents } from '../../protocols/native/client/peer.ts'
import type { HelloOptions } from '../../protocols/native/client/wire-peer.ts'
import type { ClientSide } from '../../protocols/native/client-side.ts'
import { nativeFormat, sectionOf } from '../../protocols/native/content.ts'
import type { ErrorFields, Fields, Rejection, Settlement } from '../../protocols/native/encoder.ts'
import { FieldMap } from '../../protocols/native/fields.ts'
import { defaultNativeOptions } from '../../protocols/native/options.ts'
import type { ProducerLink } from '../../protocols/native/producer-link.ts'
import {
  Kind,
  plainHead,
  plainHeadBytes,
  plainHeadOf,
  putPlainHead,
  readSection,
  type Section,
  type SectionHead,
  writeHead,
} from '../../protocols/native/section.ts'
import { NativeSession } from '../../protocols/native/session.ts'
import { GrowingBytes } from '../../protocols/native/writer.ts'
import type { Broker } from '../broker/broker.ts'
import { BrokerError } from '../errors.ts'
import { type LazyContent, Message } from '../message.ts'
import type { Delivery } from '../session.ts'

/** How messages are handed over: as sections, whose bodies are copied once, or as the objects they are. */
export type Pass = 'value' | 'reference'

const noBytes = new Uint8Array(0)
const noAnnotations = Object.freeze(Object.create(null))

/** What the broker says, handed on to the client. */
class VmClientSide implements ClientSide {
  readonly #events: PeerEvents
  readonly #onEnd: (error: ErrorFields) => void

  constructor(events: PeerEvents, onEnd: (error: ErrorFields) => void) {
    this.#events = events
    this.#onEnd = onEnd
  }

  ok(corr: number, fields: Fields): void {
    this.#events.ok(corr, fieldMap(fields))
  }

  error(corr: number, error: ErrorFields): void {
    this.#events.error(corr, error)
  }

  accepted(link: number, upTo: number, rejections: readonly Rejection[]): void {
    this.#events.accepted(link, upTo, rejections)
  }

  deliver(link: number, number: number, delivery: Delivery): void {
    this.#events.deliver(link, new VmArrival(number, delivery))
  }

  costOf({ message }: Delivery): number {
    return message.contentBytes
  }

  credit(link: number, messages: number, bytes: number): void {
    this.#events.credit(link, messages, bytes)
  }

  creditUsed(link: number, unused: number): void {
    this.#events.creditUsed(link, unused)
  }

  closeLink(link: number, error: ErrorFields | undefined): void {
    this.#events.linkClosed(link, error)
  }

  end(error: ErrorFields): void {
    this.#onEnd(error)
  }
}

type Identity = ConstructorParameters<typeof NativeSession>[1]['identity']

/** A broker in the same process: the commands of the protocol as calls, with nothing encoded. */
export class VmPeer implements Peer {
  readonly isCongested = false
  readonly #broker: Broker
  readonly #events: PeerEvents
  readonly #pass: Pass
  readonly #session: NativeSession
  readonly #addresses: Addresses
  readonly #onOver: () => Promise<void> | undefined
  #isInputOpen: boolean
  /** The broker's time when the sends of this turn began. */
  #now: number
  #isOver: boolean

  private constructor(
    broker: Broker,
    identity: Identity,
    events: PeerEvents,
    given: { readonly pass: Pass; readonly onOver: () => Promise<void> | undefined },
  ) {
    this.#broker = broker
    this.#events = events
    this.#pass = given.pass
    this.#addresses = new Addresses()
    this.#onOver = given.onOver
    this.#isInputOpen = false
    this.#now = 0
    this.#isOver = false
    const { messageBytesMax } = broker.limits
    const options = {
      ...defaultNativeOptions,
      limits: { ...defaultNativeOptions.limits, bodyBytesMax: messageBytesMax },
    }
    const client = new VmClientSide(events, ({ name, text, retryable }) =>
      this.#finish('clean', new ManifoldError(name, text, { retryable })),
    )
    this.#session = new NativeSession(client, { broker, identity, options, now: () => broker.clock.now() })
  }

  /** Begins a session at the broker. Rejects with its refusal. */
  static dial(
    broker: Broker,
    events: PeerEvents,
    given: {
      readonly pass: Pass
      readonly hello: HelloOptions
      readonly environment: Environment
      /** The session has ended; the client is told when what this returns has. */
      readonly onOver: () => Promise<void> | undefined
    },
  ): Promise<Dialled> {
    const { hello, environment, pass, onOver } = given
    const { user, password, clientId } = hello
    return new Promise((resolve, reject) => {
      const login = { user, password, clientId, protocol: 'native', remote: 'vm', isLocal: true }
      broker.authenticate(login, (identity) => {
        if (identity instanceof BrokerError) {
          reject(refusal(identity))
          return
        }
        const peer = new VmPeer(broker, identity, events, { pass, onOver })
        const id = peer.#session.open()
        if (id instanceof BrokerError) reject(refusal(id))
        else {
          const clockOffsetMs = broker.clock.now() - environment.now()
          const welcome = { connectionId: id, broker: broker.name, clockOffsetMs }
          resolve({ peer, welcome })
        }
      })
    })
  }

  open(kind: 'producer' | 'consumer', corr: number, link: number, fields: Fields): void {
    if (this.#isOver) return
    if (kind === 'producer') this.#session.openProducer(corr, link, fieldMap(fields))
    else this.#session.openConsumer(corr, link, fieldMap(fields))
  }

  closeLink(corr: number, link: number): void {
    if (!this.#isOver) this.#session.closeLink(corr, link)
  }

  send(link: number, seq: number, sent: Outgoing, transaction: number): number {
    const producer = this.#session.producer(link)
    if (this.#isOver || producer === undefined) return 0
    if (!this.#isInputOpen) this.#openInput()
    const address = producer.address ?? this.#addresses.of(sent.head?.to)
    const cost = this.#pass === 'reference' ? sent.roughBytes : 0
    if (address instanceof BrokerError || producer.session === undefined) {
      this.#charge(producer, seq, cost)
      producer.refuse(
        seq,
        address instanceof BrokerError ? address : new BrokerError('deleted', 'the producer is closed'),
      )
      return cost
    }
    const head = sent.head ?? plainHead
    const content = this.#pass === 'value' ? contentOf(sent) : undefined
    const bytes = content?.content.length ?? cost
    this.#charge(producer, seq, bytes)
    if (producer.isDuplicate(seq)) {
      producer.send(seq, undefined)
      return bytes
    }
    const now = this.#now
    const { source } = producer.session
    const message = new Message({
      address,
      format: nativeFormat,
      content: content?.content ?? noBytes,
      bodyOffset: content?.bodyOffset ?? 0,
      durable: sent.persistent,
      priority: head.priority,
      expiresAt: head.expiresAt,
      deliverAt: head.deliverAt > now ? head.deliverAt : 0,
      timestamp: now,
      groupId: head.groupId,
      retain: head.retain,
      source,
      number: source.next(),
      annotations: undefined,
      waitsForStore: producer.state !== undefined,
      lazy: content === undefined ? new Reference(sent) : undefined,
    })
    if (transaction > 0) producer.sendIn(transaction, seq, message)
    else producer.send(seq, message)
    return bytes
  }

  settle(settlement: Settlement, corr: number, transaction: number): void {
    if (!this.#isOver) this.#session.settle(corr, transaction, settlement)
  }

  credit(link: number, messages: number, bytes: number, drain: boolean): void {
    if (!this.#isOver) this.#session.credit(link, messages, bytes, drain)
  }

  endTransaction(corr: number, transaction: number, how: number): void {
    if (!this.#isOver) this.#session.endTransaction(corr, transaction, how)
  }

  destination(corr: number, fields: Fields): void {
    if (!this.#isOver) this.#session.destination(corr, fieldMap(fields))
  }

  flush(): void {
    // Everything has been handed over.
  }

  end(): void {
    this.#finish('clean', new ManifoldError('closed', 'the connection has been closed'))
  }

  destroy(error: ManifoldError): void {
    this.#finish('lost', error)
  }

  /** The client keeps to its credit, or is broken. */
  #charge(producer: ProducerLink, seq: number, bytes: number): void {
    const fault = producer.fault(seq, bytes)
    if (fault !== undefined) throw new Error(fault)
  }

  #openInput(): void {
    this.#isInputOpen = true
    this.#now = this.#broker.clock.now()
    queueMicrotask(() => {
      this.#isInputOpen = false
      if (!this.#isOver) this.#session.endOfInput()
    })
  }

  #finish(how: 'clean' | 'lost', error: ManifoldError): void {
    if (this.#isOver) return
    this.#session.close(how)
    this.#isOver = true
    void Promise.resolve(this.#onOver()).finally(() => this.#events.lost(error))
  }
}

/** A message by reference: what was sent, and what it would be as bytes. */
class Reference implements LazyContent {
  readonly sent: Outgoing

  constructor(sent: Outgoing) {
    this.sent = sent
  }

  get payload(): unknown {
    return this.sent.payload
  }

  get roughBytes(): number {
    return this.sent.roughBytes
  }

  /** Whoever sent it is not asked any more: an object that has no form as bytes is described by a sentence. */
  encode(): { readonly content: Uint8Array; readonly bodyOffset: number } {
    try {
      return contentOf(this.sent)
    } catch (error) {
      const { persistent, head } = this.sent
      return contentOf(
        new Outgoing(`an object that cannot be written: ${error}`, Kind.text, persistent, textHead(head)),
      )
    }
  }
}

/** The head of a message by reference; its body only if it is asked for. */
class ReferenceSection implements Section {
  readonly head: SectionHead
  readonly #sent: Outgoing

  constructor(sent: Outgoing) {
    const { kind, persistent } = sent
    this.head = sent.head ?? plainHeadOf(kind, persistent)
    this.#sent = sent
  }

  get body(): Uint8Array {
    return bodyBytes(this.#sent)
  }
}

/** A delivery of the broker as the client's. The broker may change its own; the message stays as it is. */
class VmArrival implements Arrival {
  readonly number: number
  readonly redelivered: boolean
  readonly isRetained: boolean
  readonly deliveryCount: number
  readonly #message: Message

  constructor(number: number, { redelivered, isRetained, deliveryCount, message }: Delivery) {
    this.number = number
    this.redelivered = redelivered
    this.isRetained = isRetained
    this.deliveryCount = deliveryCount
    this.#message = message
  }

  get brokerId(): string {
    return this.#message.source.idPrefix + this.#message.number
  }

  get address(): string {
    return this.#message.address.toString()
  }

  get annotations(): Arrival['annotations'] {
    return this.#message.annotations ?? noAnnotations
  }

  get size(): number {
    return this.#message.contentBytes
  }

  get reference(): { readonly payload: unknown } | undefined {
    return this.#message.lazy
  }

  section(): Section {
    const { lazy } = this.#message
    return lazy instanceof Reference ? new ReferenceSection(lazy.sent) : readSection(sectionOf(this.#message))
  }
}

/** The section that a message would be on a wire; the body is copied. */
function contentOf({ kind, persistent, head, body }: Outgoing): {
  readonly content: Uint8Array
  readonly bodyOffset: number
} {
  const headBytes = head === undefined ? undefined : encodedHead(head)
  const bodyOffset = headBytes?.length ?? plainHeadBytes
  const bodyBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  const content = Buffer.allocUnsafe(bodyOffset + bodyBytes)
  if (headBytes === undefined) putPlainHead(content, 0, kind, persistent)
  else content.set(headBytes)
  if (typeof body === 'string') content.write(body, bodyOffset)
  else content.set(body, bodyOffset)
  return { content, bodyOffset }
}

function textHead(head: SectionHead | undefined): SectionHead | undefined {
  return head === undefined ? undefined : { ...head, kind: Kind.text }
}

function encodedHead(head: SectionHead): Uint8Array {
  const bytes = new GrowingBytes()
  writeHead(bytes, head)
  return bytes.bytes
}

function fieldMap(fields: Fields): FieldMap {
  return new FieldMap(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  )
}

function refusal({ code, message, retryable }: BrokerError): ManifoldError {
  return new ManifoldError(code, message, { retryable })
}
