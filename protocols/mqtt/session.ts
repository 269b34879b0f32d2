import type {
  Broker,
  BrokerError,
  Deadline,
  Delivery,
  Due,
  Identity,
  Message,
  SendNumber,
  Session,
  SessionEvents,
} from '../../src/core.ts'
import type { Attachment, SessionLink } from './attachment.ts'
import type { Will } from './connect.ts'
import { writeReasons } from './encoder.ts'
import { Filters, type Shares } from './filters.ts'
import { Flights } from './flights.ts'
import { type Addresses, Incoming, type PublishPacket } from './incoming.ts'
import { SessionKeys } from './keys.ts'
import type { Grant, Lane, LaneHost } from './lane.ts'
import type { MqttOptions } from './limits.ts'
import { type MqttFault, malformed, PacketType, packetName, protocolError, Reason } from './packet.ts'
import type { Properties } from './properties.ts'
import { faultOf } from './reasons.ts'
import { Replies } from './replies.ts'
import { type Encoded, Sender } from './sender.ts'
import { readSubscribe, readUnsubscribe } from './subscribe.ts'
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
  /** Made when the client has gone. */
  #deadline: Deadline | undefined
  #attached: Attachment | undefined
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
    this.#deadline = undefined
    this.#attached = undefined
    this.#isPaused = false
    this.#sentWhileBlocked = 0
    this.#isStored = false
  }

  get link(): SessionLink | undefined {
    return this.#attached?.link
  }

  /** True if it outlives its connection, and the broker. */
  get isDurable(): boolean {
    return this.expiryMs > 0
  }

  /** A connection takes it up, with a session of the core that tells it what happens. */
  attach(link: SessionLink, session: Session): void {
    const { output, request } = link
    const { broker, encoded, options } = this.#services
    this.#attached = {
      link,
      session,
      sender: new Sender(output, encoded, request, { aliasMax: options.topicAliasMax, clock: broker.clock }),
      replies: new Replies(output, request.level),
      syncReplies: new Replies(output, request.level),
      window: Math.min(request.receiveMaximum, options.sendMax),
    }
    this.#isPaused = false
    this.#sentWhileBlocked = 0
    this.disconnectedAt = 0
    this.willAt = 0
    this.#deadline?.clear()
    this.save()
  }

  /** The client has been answered: what the session has for it may come. */
  open(): void {
    const attached = this.#attached
    if (attached === undefined) return
    const { session, window } = attached
    this.#incoming.attach(attached)
    this.#flights.attach(attached)
    const kept = this.#services.broker.subscriptionsOf(this.clientId)
    if (kept.every(({ messageCount }) => messageCount === 0)) this.#flights.forgetReserved(session)
    this.#filters.attach(session)
    this.#filters.open(window)
  }

  /** The connection has gone. What is under way goes back to the core. */
  detach(now: number): void {
    const session = this.#attached?.session
    this.#attached = undefined
    this.#flights.detach()
    this.#incoming.detach()
    this.#filters.detach()
    session?.close('clean')
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
    if (at === Number.POSITIVE_INFINITY) {
      this.#deadline?.clear()
      return
    }
    this.#deadline ??= this.#services.broker.deadline(this)
    this.#deadline.set(at)
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
    this.#deadline?.clear()
    this.#filters.discard(broker)
    if (!this.#isStored) return
    this.#isStored = false
    broker.putState(this.keys.session, undefined)
    for (const id of this.#incoming.ids) broker.putState(this.keys.received(id), undefined)
    for (const id of this.#flights.ids) broker.putState(this.keys.sent(id), undefined)
  }

  /** Carries out one packet of the client's. Returns what is so wrong with it that the connection ends. */
  handle(first: number, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const attached = this.#attached
    if (attached === undefined) return undefined
    switch ((first >> 4) as PacketType) {
      case PacketType.publish:
        return this.#published(attached, first, bytes, start, end)
      case PacketType.puback:
      case PacketType.pubrec:
      case PacketType.pubrel:
      case PacketType.pubcomp:
        return this.#acknowledged(attached, (first >> 4) as PacketType, bytes, start, end)
      case PacketType.subscribe:
        return this.#subscribe(attached, bytes, start, end)
      case PacketType.unsubscribe:
        return this.#unsubscribe(attached, bytes, start, end)
      case PacketType.connect:
        return protocolError('a second CONNECT [MQTT-3.1.0-2]')
      default:
        return protocolError(`${packetName(first >> 4)} is a server's packet`)
    }
  }

  confirmed(upTo: SendNumber): void {
    this.#attached?.syncReplies.confirmed(upTo)
    this.#attached?.replies.confirmed(upTo)
    if (this.#isPaused) this.#pace()
  }

  synced(upTo: SendNumber): void {
    this.#attached?.syncReplies.confirmed(upTo)
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
    this.#attached?.link.fail(faultOf(error))
  }

  suspend(): void {
    this.#attached?.session.suspend()
  }

  resume(): void {
    this.#attached?.session.resume()
  }

  sendNow(message: Message, flags: number, grant: Grant): void {
    this.#attached?.sender.send(message, flags, 0, grant.ids)
  }

  sendSurely(lane: Lane, delivery: Delivery): void {
    this.#flights.send(lane, delivery)
  }

  isUnderWay(lane: Lane, delivery: Delivery): boolean {
    return this.#flights.isUnderWay(lane, delivery)
  }

  laneEnded(lane: Lane, error: BrokerError | undefined): void {
    this.#filters.ended(lane)
    if (error !== undefined) this.#attached?.link.fail(faultOf(error))
  }

  #published(
    { replies, session }: Attachment,
    first: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): MqttFault | undefined {
    const fault = this.#incoming.publish(first, bytes, start, end, this.isDurable)
    if (session.isBlocked) {
      this.#sentWhileBlocked += 1
      if (this.#sentWhileBlocked > sendsWhileBlockedMax) this.#pace()
    }
    if (replies.count > this.#services.options.receiveMax) this.#pace()
    return fault
  }

  /** PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7): an id, in MQTT 5 perhaps a reason and properties. */
  #acknowledged(
    { link }: Attachment,
    type: PacketType,
    bytes: Buffer,
    start: number,
    end: number,
  ): MqttFault | undefined {
    const length = end - start
    if (length < 2 || (length > 2 && link.request.level < 5)) return malformed(`${packetName(type)} of ${length} bytes`)
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
  #subscribe(attached: Attachment, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const { link, session, window } = attached
    const { level } = link.request
    const packet = readSubscribe(bytes, start, end, { level, properties: this.#services.properties })
    if ('reason' in packet) return packet
    const reasons: number[] = []
    for (const options of packet.filters) {
      const answer = this.#filters.subscribe(options, session, this.isDurable)
      if (typeof answer !== 'number') return answer
      reasons.push(level < 5 ? Math.min(answer, Reason.unspecified) : answer)
    }
    this.#reply(attached, () => {
      writeReasons(link.output, PacketType.suback, packet.id, level, reasons)
      this.#filters.open(window)
    })
    return undefined
  }

  /** UNSUBSCRIBE (3.10). */
  #unsubscribe(attached: Attachment, bytes: Buffer, start: number, end: number): MqttFault | undefined {
    const { link, session } = attached
    const { level } = link.request
    const packet = readUnsubscribe(bytes, start, end, { level, properties: this.#services.properties })
    if ('reason' in packet) return packet
    const reasons = packet.filters.map((text) => this.#filters.unsubscribe(text, session))
    this.#reply(attached, () => writeReasons(link.output, PacketType.unsuback, packet.id, level, reasons))
    return undefined
  }

  /** Answers at once, or what is kept over restarts once that is safe. */
  #reply({ session, syncReplies }: Attachment, write: () => void): void {
    if (this.isDurable) syncReplies.defer(session.sync(), write)
    else write()
  }

  /**
   * Reading stops while too much is unanswered, and while the session is blocked and sends on, unless acknowledgements may be
   * among what would be read.
   */
  #pace(): void {
    const attached = this.#attached
    if (attached === undefined) return
    const { receiveMax } = this.#services.options
    const count = attached.replies.count + attached.syncReplies.count
    const isSender = this.#filters.count === 0
    const isFull = count > (isSender ? receiveMax : receiveMax * unreadFactor)
    const isBlocked = isSender && this.#sentWhileBlocked > sendsWhileBlockedMax
    if (this.#isPaused === (isFull || isBlocked)) return
    this.#isPaused = !this.#isPaused
    attached.link.readable(!this.#isPaused)
  }
}
