import type {
  Broker,
  BrokerError,
  Deadline,
  Delivery,
  Due,
  Identity,
  Message,
  Output,
  SendNumber,
  Session,
  SessionEvents,
} from '../../src/core.ts'
import type { ConnectRequest, Will } from './connect.ts'
import { brokerProperty } from './content.ts'
import { writeReasons } from './encoder.ts'
import { type FilterOptions, Filters, type Shares } from './filters.ts'
import { Flights } from './flights.ts'
import { type Addresses, Incoming, type PublishPacket } from './incoming.ts'
import { SessionKeys } from './keys.ts'
import type { Grant, Lane, LaneHost } from './lane.ts'
import type { MqttOptions } from './limits.ts'
import { type Level, type MqttFault, malformed, PacketType, packetName, protocolError, Reason } from './packet.ts'
import { type Properties, Property } from './properties.ts'
import { Reader } from './reader.ts'
import { faultOf } from './reasons.ts'
import { Replies } from './replies.ts'
import { type Encoded, Sender } from './sender.ts'
import { readWill, writeWill } from './will.ts'

/** What all sessions of one broker share. */
export interface SessionServices {
  readonly broker: Broker
  readonly options: MqttOptions
  readonly encoded: Encoded
  readonly addresses: Addresses
  /** Reused for every packet. */
  readonly properties: Properties
  readonly packet: PublishPacket
  readonly shares: Shares
  /** The session has outlived its time, or its will is due. */
  due(session: MqttSession, now: number): void
}

/** What a session needs of its connection. */
export interface SessionLink {
  readonly output: Output
  readonly request: ConnectRequest
  /** Milliseconds since the epoch, when the bytes being read came in. */
  readonly now: number
  /** The session is full or full no more: stop or go on reading. */
  readable(isReadable: boolean): void
  /** Something is so wrong that the connection ends. */
  fail(fault: MqttFault): void
}

/** A session as the store keeps it beside its subscriptions and packet ids. */
interface StoredSession {
  readonly principal: string
  /** Milliseconds; -1: it does not end by itself. */
  readonly expiryMs: number
  /** Milliseconds since the epoch; 0: the client was there. */
  readonly disconnectedAt: number
  readonly will: string | undefined
  /** Milliseconds since the epoch at which the will of a client that has gone is published; 0: nothing is due. */
  readonly willAt: number
}

/** Messages that are read while the session is blocked: pings are to be answered, and most clients wait by themselves. */
const sendsWhileBlockedMax = 256

/** How many times the receive maximum a client that also subscribes may have unanswered before it is not read any more. */
const unreadFactor = 8

/**
 * What broker and client remember of each other (4.1): subscriptions, messages under way in both directions, the will. It has a
 * connection and a session of the core, or neither.
 */
export class MqttSession implements SessionEvents, LaneHost, Due {
  readonly clientId: string
  readonly keys: SessionKeys
  identity: Identity
  will: Will | undefined
  /** When the will of a client that has gone is due, milliseconds since the epoch; 0: there is none. */
  willAt: number
  expiryMs: number
  disconnectedAt: number
  readonly #services: SessionServices
  readonly #filters: Filters
  readonly #flights: Flights
  readonly #incoming: Incoming
  readonly #deadline: Deadline
  #link: SessionLink | undefined
  #core: Session | undefined
  #sender: Sender | undefined
  #replies: Replies | undefined
  /** Answers to what is no PUBLISH: they do not wait while publishing is held up. */
  #syncReplies: Replies | undefined
  #isPaused: boolean
  #sentWhileBlocked: number
  /** True if the store has anything of it. */
  #isStored: boolean

  constructor(services: SessionServices, clientId: string, identity: Identity) {
    this.clientId = clientId
    this.keys = new SessionKeys(clientId)
    this.identity = identity
    this.will = undefined
    this.willAt = 0
    this.expiryMs = 0
    this.disconnectedAt = 0
    this.#services = services
    const { addresses, broker, options, packet, shares } = services
    this.#filters = new Filters(this, this.keys, options, shares)
    this.#flights = new Flights(this.keys, broker)
    this.#incoming = new Incoming(this.keys, options, addresses, packet)
    this.#deadline = broker.deadline(this)
    this.#link = undefined
    this.#core = undefined
    this.#sender = undefined
    this.#replies = undefined
    this.#syncReplies = undefined
    this.#isPaused = false
    this.#sentWhileBlocked = 0
    this.#isStored = false
  }

  get link(): SessionLink | undefined {
    return this.#link
  }

  /** True if it outlives its connection, and the broker. */
  get isDurable(): boolean {
    return this.expiryMs > 0
  }

  /** A connection takes it up, with a session of the core that tells it what happens. */
  attach(link: SessionLink, core: Session): void {
    const { request, output } = link
    const { level } = request
    const { broker, encoded, options } = this.#services
    this.#link = link
    this.#core = core
    this.#isPaused = false
    this.#sentWhileBlocked = 0
    this.#sender = new Sender(output, encoded, request, { aliasMax: options.topicAliasMax, clock: broker.clock })
    this.#replies = new Replies(output, level)
    this.#syncReplies = new Replies(output, level)
    this.disconnectedAt = 0
    this.willAt = 0
    this.#deadline.clear()
    this.save()
  }

  /** The client has been answered: what the session has for it may come. */
  open(): void {
    const link = this.#link
    const session = this.#core
    const replies = this.#replies
    const syncReplies = this.#syncReplies
    const sender = this.#sender
    if (link === undefined || session === undefined || sender === undefined) return
    if (replies === undefined || syncReplies === undefined) return
    const { request, output } = link
    this.#incoming.attach({ session, link, replies, syncReplies })
    this.#flights.attach({
      session,
      sender,
      replies: syncReplies,
      output,
      level: request.level,
      window: this.#window(request),
    })
    const kept = this.#services.broker.subscriptionsOf(this.clientId)
    if (kept.every(({ messageCount }) => messageCount === 0)) this.#flights.forgetReserved(session)
    this.#filters.attach(session)
    this.#filters.open(this.#window(request))
  }

  /** The connection has gone. What is under way goes back to the core. */
  detach(now: number): void {
    const core = this.#core
    this.#link = undefined
    this.#core = undefined
    this.#replies = undefined
    this.#syncReplies = undefined
    this.#sender = undefined
    this.#flights.detach()
    this.#incoming.detach()
    this.#filters.detach()
    core?.close('clean')
    this.disconnectedAt = now
  }

  /** Keeps what is to outlive the broker; of a session that ends with its connection, nothing. */
  save(): void {
    if (!this.isDurable && !this.#isStored) return
    const { broker } = this.#services
    this.#isStored = this.isDurable
    if (!this.isDurable) {
      broker.putState(this.keys.session, undefined)
      return
    }
    const stored: StoredSession = {
      principal: this.identity.principal,
      expiryMs: this.expiryMs === Number.POSITIVE_INFINITY ? -1 : this.expiryMs,
      disconnectedAt: this.disconnectedAt,
      will: this.will === undefined ? undefined : writeWill(this.will),
      willAt: this.willAt,
    }
    broker.putState(this.keys.session, Buffer.from(JSON.stringify(stored)))
  }

  /** Takes in what {@link save} has kept. Who was connected when the broker stopped has gone now. */
  restore(value: Uint8Array, now: number): void {
    const stored = JSON.parse(Buffer.from(value).toString()) as StoredSession
    this.identity = { principal: stored.principal, clientId: this.clientId }
    this.expiryMs = stored.expiryMs < 0 ? Number.POSITIVE_INFINITY : stored.expiryMs
    this.will = stored.will === undefined ? undefined : readWill(stored.will)
    this.willAt = stored.willAt
    this.disconnectedAt = stored.disconnectedAt
    this.#isStored = true
    if (stored.disconnectedAt > 0) return
    this.disconnectedAt = now
    if (this.will !== undefined) this.willAt = now + Math.min(this.will.delayMs, this.expiryMs)
  }

  restoreFilter(number: number, value: Uint8Array): void {
    this.#filters.restore(number, value)
  }

  restoreReceived(id: number): void {
    this.#incoming.restore(id)
  }

  restoreSent(id: number, place: string): void {
    this.#flights.restore(id, place)
  }

  /** Waits for the end of the session, or for the will. */
  arm(): void {
    const at = Math.min(this.expiresAt, this.willAt > 0 ? this.willAt : Number.POSITIVE_INFINITY)
    if (at === Number.POSITIVE_INFINITY) this.#deadline.clear()
    else this.#deadline.set(at)
  }

  /** When the session of a client that has gone ends, milliseconds since the epoch. */
  get expiresAt(): number {
    return this.disconnectedAt + this.expiryMs
  }

  due(now: number): void {
    this.#services.due(this, now)
  }

  /** The session ends: nothing of it is left anywhere. */
  discard(): void {
    const { broker } = this.#services
    this.#deadline.clear()
    this.#filters.discard(broker)
    if (!this.#isStored) return
    this.#isStored = false
    broker.putState(this.keys.session, undefined)
    for (const id of this.#incoming.ids) broker.putState(this.keys.received(id), undefined)
    for (const id of this.#flights.ids) broker.putState(this.keys.sent(id), undefined)
  }

  /** Carries out one packet of the client's. Returns what is so wrong with it that the connection ends. */
  handle(first: number, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    switch ((first >> 4) as PacketType) {
      case PacketType.publish:
        return this.#published(first, bytes, start, end)
      case PacketType.puback:
      case PacketType.pubrec:
      case PacketType.pubrel:
      case PacketType.pubcomp:
        return this.#acknowledged((first >> 4) as PacketType, bytes, start, end)
      case PacketType.subscribe:
        return this.#subscribe(bytes, start, end)
      case PacketType.unsubscribe:
        return this.#unsubscribe(bytes, start, end)
      case PacketType.connect:
        return protocolError('a second CONNECT [MQTT-3.1.0-2]')
      default:
        return protocolError(`${packetName(first >> 4)} is a server's packet`)
    }
  }

  confirmed(upTo: SendNumber): void {
    this.#syncReplies?.confirmed(upTo)
    this.#replies?.confirmed(upTo)
    if (this.#isPaused) this.#pace()
  }

  synced(upTo: SendNumber): void {
    this.#syncReplies?.confirmed(upTo)
    if (this.#isPaused) this.#pace()
  }

  refused(_send: SendNumber, error: BrokerError): void {
    this.#incoming.refused(error)
  }

  blocked(): void {
    this.#pace()
  }

  unblocked(): void {
    this.#sentWhileBlocked = 0
    this.#pace()
  }

  closed(error: BrokerError): void {
    this.#core = undefined
    this.#link?.fail(faultOf(error))
  }

  suspend(): void {
    this.#core?.suspend()
  }

  resume(): void {
    this.#core?.resume()
  }

  sendNow(message: Message, flags: number, grant: Grant): void {
    this.#sender?.send(message, flags, 0, grant.ids)
  }

  sendSurely(lane: Lane, delivery: Delivery): void {
    this.#flights.send(lane, delivery)
  }

  isUnderWay(lane: Lane, delivery: Delivery): boolean {
    return this.#flights.isUnderWay(lane, delivery)
  }

  laneEnded(lane: Lane, error: BrokerError | undefined): void {
    this.#filters.ended(lane)
    if (error !== undefined) this.#link?.fail(faultOf(error))
  }

  #published(first: number, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const fault = this.#incoming.publish(first, bytes, start, end, this.isDurable)
    if (this.#core?.isBlocked === true) {
      this.#sentWhileBlocked += 1
      if (this.#sentWhileBlocked > sendsWhileBlockedMax) this.#pace()
    }
    if ((this.#replies?.count ?? 0) > this.#services.options.receiveMax) this.#pace()
    return fault
  }

  /** PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7): an id, in MQTT 5 perhaps a reason and properties. */
  #acknowledged(type: PacketType, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const length = end - start
    if (length < 2 || (length > 2 && this.#level < 5)) return malformed(`${packetName(type)} of ${length} bytes`)
    const id = ((bytes[start] as number) << 8) | (bytes[start + 1] as number)
    if (id === 0) return malformed(`${packetName(type)} with the packet id 0`)
    const reason = length > 2 ? (bytes[start + 2] as number) : Reason.success
    if (length > 3) {
      const { properties } = this.#services
      const fault = properties.read(bytes, start + 3, end, type)
      if (fault !== undefined) return fault
      if (properties.end !== end) return malformed(`bytes after the properties of ${packetName(type)}`)
    }
    if (type === PacketType.puback) this.#flights.acknowledged(id, reason)
    else if (type === PacketType.pubrec) this.#flights.received(id, reason)
    else if (type === PacketType.pubcomp) this.#flights.completed(id)
    else this.#incoming.released(id)
    return undefined
  }

  /** SUBSCRIBE (3.8). The SUBACK waits until subscriptions that are to be kept are. */
  #subscribe(bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const session = this.#core
    const link = this.#link
    if (session === undefined || link === undefined) return undefined
    const reader = new Reader(bytes, start, end)
    const id = this.#packetId(reader, PacketType.subscribe)
    const properties = this.#readProperties(reader, PacketType.subscribe)
    const subscriptionId = properties?.number(Property.subscriptionId, 0) ?? 0
    const selector = properties?.userProperties().find(([name]) => name === brokerProperty.selector)?.[1]
    const all: FilterOptions[] = []
    while (!reader.isAtEnd) all.push(readOptions(reader, this.#level, subscriptionId, selector))
    // [MQTT-3.8.3-2]
    if (all.length === 0) reader.fail(protocolError('SUBSCRIBE without a topic filter'))
    if (reader.fault !== undefined) return reader.fault
    const reasons: number[] = []
    for (const options of all) {
      const answer = this.#filters.subscribe(options, session, this.isDurable)
      if (typeof answer !== 'number') return answer
      reasons.push(this.#level < 5 ? Math.min(answer, Reason.unspecified) : answer)
    }
    this.#reply(session, () => {
      writeReasons(link.output, PacketType.suback, id, this.#level, reasons)
      this.#filters.open(this.#window(link.request))
    })
    return undefined
  }

  /** UNSUBSCRIBE (3.10). */
  #unsubscribe(bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const session = this.#core
    const link = this.#link
    if (session === undefined || link === undefined) return undefined
    const reader = new Reader(bytes, start, end)
    const id = this.#packetId(reader, PacketType.unsubscribe)
    this.#readProperties(reader, PacketType.unsubscribe)
    const filters: string[] = []
    while (!reader.isAtEnd) filters.push(reader.text())
    // [MQTT-3.10.3-2]
    if (filters.length === 0) reader.fail(protocolError('UNSUBSCRIBE without a topic filter'))
    if (reader.fault !== undefined) return reader.fault
    const reasons = filters.map((text) => this.#filters.unsubscribe(text, session))
    this.#reply(session, () => writeReasons(link.output, PacketType.unsuback, id, this.#level, reasons))
    return undefined
  }

  /** Answers at once, or what is kept over restarts once that is safe. */
  #reply(session: Session, write: () => void): void {
    if (this.isDurable) this.#syncReplies?.defer(session.sync(), write)
    else write()
  }

  #packetId(reader: Reader, type: PacketType): number {
    const id = reader.short()
    if (id === 0) reader.fail(malformed(`${packetName(type)} with the packet id 0 [MQTT-2.2.1-3]`))
    return id
  }

  #readProperties(reader: Reader, type: PacketType): Properties | undefined {
    if (this.#level < 5 || reader.fault !== undefined) return undefined
    const { properties } = this.#services
    const fault = properties.read(reader.bytes, reader.at, reader.end, type)
    if (fault === undefined) reader.at = properties.end
    else reader.fail(fault)
    return properties
  }

  get #level(): Level {
    return this.#link?.request.level ?? 4
  }

  #window(request: ConnectRequest): number {
    return Math.min(request.receiveMaximum, this.#services.options.sendMax)
  }

  /**
   * Reading stops while too much is unanswered, and while the session is blocked and sends on, unless acknowledgements may be
   * among what would be read.
   */
  #pace(): void {
    const { receiveMax } = this.#services.options
    const count = (this.#replies?.count ?? 0) + (this.#syncReplies?.count ?? 0)
    const isSender = this.#filters.count === 0
    const isFull = count > (isSender ? receiveMax : receiveMax * unreadFactor)
    const isBlocked = isSender && this.#sentWhileBlocked > sendsWhileBlockedMax
    if (this.#isPaused === (isFull || isBlocked)) return
    this.#isPaused = !this.#isPaused
    this.#link?.readable(!this.#isPaused)
  }
}

/** One topic filter and its options (3.8.3.1); before MQTT 5 the options are a QoS. */
function readOptions(reader: Reader, level: Level, id: number, selector: string | undefined): FilterOptions {
  const text = reader.text()
  const bits = reader.byte()
  const qos = bits & 3
  const retainHandling = (bits >> 4) & 3
  // [MQTT-3.8.3-5], and before MQTT 5 [MQTT-3-8.3-4]: reserved bits.
  if (qos === 3 || (level < 5 ? bits > 2 : bits > 0x3f)) reader.fail(malformed('the options of a topic filter'))
  if (retainHandling === 3) reader.fail(protocolError('the retain handling 3'))
  return { text, qos, noLocal: (bits & 4) !== 0, retainAsPublished: (bits & 8) !== 0, retainHandling, id, selector }
}
