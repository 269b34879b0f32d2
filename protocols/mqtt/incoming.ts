import { type Address, BrokerError, type Session } from '../../src/core.ts'
import { addressOfTopic, type ConnectRequest, hasWildcard } from './connect.ts'
import { toMessage } from './content.ts'
import { type ByteSink, writeAckWith } from './encoder.ts'
import type { SessionKeys } from './keys.ts'
import type { MqttOptions } from './limits.ts'
import { type MqttFault, malformed, PacketType, protocolError, Reason } from './packet.ts'
import { Properties, Property, PropertyWriter } from './properties.ts'
import { publishReason } from './reasons.ts'
import type { Replies } from './replies.ts'
import { isUtf8 } from './utf8.ts'

/** What the receiving of messages needs of a connected session. */
export interface IncomingLink {
  readonly session: Session
  readonly replies: Replies
  /** For what is no PUBLISH. */
  readonly syncReplies: Replies
  readonly link: {
    readonly request: ConnectRequest
    readonly output: ByteSink
    /** Milliseconds since the epoch, when the bytes being read came in. */
    readonly now: number
  }
}

/** Topic names that are remembered with their addresses, by all connections of a listener. */
const addressesKept = 16_384
/** Bytes of an acknowledgement with a reason string, without the string, and to spare. */
const ackBytesMax = 32
const noProperties = new Properties()
const stored = Uint8Array.of(1)

/** Addresses by topic name, so that the same name is checked and parsed once. */
export class Addresses {
  readonly #options: MqttOptions
  readonly #known: Map<string, Address>

  constructor(options: MqttOptions) {
    this.#options = options
    this.#known = new Map()
  }

  /** The address of the topic name in the bytes. */
  read(bytes: Buffer, start: number, end: number): Address | MqttFault {
    const key = bytes.toString('latin1', start, end)
    const found = this.#known.get(key)
    if (found !== undefined) return found
    if (!isUtf8(bytes, start, end)) return malformed('the topic name is not UTF-8 [MQTT-3.3.2-1]')
    const address = addressOfTopic(bytes.toString('utf8', start, end), this.#options.limits)
    if (address instanceof BrokerError) return { reason: Reason.topicNameInvalid, sentence: address.message }
    if (this.#known.size >= addressesKept) this.#known.clear()
    this.#known.set(key, address)
    return address
  }
}

/** Messages from one client: what it publishes, and its half of QoS 2. */
export class Incoming {
  readonly #keys: SessionKeys
  readonly #options: MqttOptions
  readonly #addresses: Addresses
  readonly #properties: Properties
  #link: IncomingLink | undefined
  /** Packet ids of QoS 2 that have come and are not released. */
  #received: Set<number> | undefined
  #aliases: Map<number, Address> | undefined
  #lastTopic: Buffer | undefined
  #lastAddress: Address | undefined
  #refusal: BrokerError | undefined

  constructor(keys: SessionKeys, options: MqttOptions, addresses: Addresses, properties: Properties) {
    this.#keys = keys
    this.#options = options
    this.#addresses = addresses
    this.#properties = properties
    this.#link = undefined
    this.#received = undefined
    this.#aliases = undefined
    this.#lastTopic = undefined
    this.#lastAddress = undefined
    this.#refusal = undefined
  }

  attach(link: IncomingLink): void {
    this.#link = link
    this.#aliases = undefined
  }

  detach(): void {
    this.#link = undefined
    this.#aliases = undefined
  }

  restore(id: number): void {
    this.#received ??= new Set()
    this.#received.add(id)
  }

  /** Packet ids in use, for the store to forget. */
  get ids(): Iterable<number> {
    return this.#received ?? []
  }

  /** The core has refused what is being sent. */
  refused(error: BrokerError): void {
    this.#refusal = error
  }

  /** A PUBLISH (3.3); its variable header and payload are bytes `start` to `end`. `isDurable`: the session is kept. */
  publish(first: number, bytes: Buffer, start: number, end: number, isDurable: boolean): MqttFault | undefined {
    const link = this.#link
    if (link === undefined) return undefined
    const qos = (first >> 1) & 3
    if (qos === 3 || (qos === 0 && (first & 8) !== 0)) return malformed('PUBLISH with impossible flags [MQTT-3.3.1-4]')
    const topicEnd =
      start + 2 <= end ? start + 2 + ((bytes[start] as number) << 8) + (bytes[start + 1] as number) : end + 1
    let at = topicEnd + (qos > 0 ? 2 : 0)
    if (at > end) return malformed('PUBLISH is cut off')
    const id = qos > 0 ? ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number) : 0
    if (qos > 0 && id === 0) return malformed('PUBLISH with the packet id 0 [MQTT-2.2.1-3]')
    let properties = noProperties
    if (link.link.request.level === 5) {
      properties = this.#properties
      const fault = properties.read(bytes, at, end, PacketType.publish)
      if (fault !== undefined) return fault
      at = properties.end
      if (properties.has(Property.responseTopic) && hasWildcard(properties.text(Property.responseTopic))) {
        return protocolError('a response topic with a wildcard [MQTT-3.3.2-14]')
      }
    }
    const address = this.#addressOf(bytes, start + 2, topicEnd, properties)
    if (!('kind' in address)) return address
    if (qos === 0) {
      this.#send(link, first, address, properties, bytes, at, end)
      return undefined
    }
    return this.#sendSurely(link, first, id, address, properties, bytes, at, end, isDurable)
  }

  /** PUBREL: the id is free again, and that is on disk before the PUBCOMP leaves. */
  released(id: number): void {
    const link = this.#link
    if (link === undefined) return
    const { session, syncReplies } = link
    const isKnown = this.#received?.delete(id) ?? false
    if (isKnown) session.putState(this.#keys.received(id), undefined)
    syncReplies.add(session.sync(), PacketType.pubcomp, id, isKnown ? Reason.success : Reason.packetIdNotFound)
  }

  #sendSurely(
    link: IncomingLink,
    first: number,
    id: number,
    address: Address,
    properties: Properties,
    bytes: Buffer,
    start: number,
    end: number,
    isDurable: boolean,
  ): MqttFault | undefined {
    const { session, replies } = link
    const { request } = link.link
    const isTwo = (first & 4) !== 0
    const type = isTwo ? PacketType.pubrec : PacketType.puback
    if (isTwo && this.#received?.has(id) === true) {
      // [MQTT-4.3.3-10]: it has been sent on already.
      replies.add(session.sync(), type, id, Reason.success)
      return undefined
    }
    if (request.level === 5 && replies.count + (this.#received?.size ?? 0) >= this.#options.receiveMax) {
      const sentence = `more than ${this.#options.receiveMax} messages unacknowledged (receiveMax) [MQTT-3.3.4-9]`
      return { reason: Reason.receiveMaximumExceeded, sentence }
    }
    const number = this.#send(link, first, address, properties, bytes, start, end)
    const refusal = this.#refusal
    if (refusal !== undefined) {
      this.#refusal = undefined
      return this.#refuse(link, number, type, id, refusal)
    }
    if (isTwo) {
      this.restore(id)
      if (isDurable) session.putState(this.#keys.received(id), stored)
    }
    const isUnheard = request.level === 5 && session.wentNowhere
    replies.add(number, type, id, isUnheard ? Reason.noMatchingSubscribers : Reason.success)
    return undefined
  }

  #send(
    link: IncomingLink,
    first: number,
    address: Address,
    properties: Properties,
    bytes: Buffer,
    start: number,
    end: number,
  ): number {
    const { session } = link
    const { now } = link.link
    const envelope = { address, qos: (first >> 1) & 3, retain: (first & 1) !== 0, now, source: session.source }
    const number = session.send(toMessage(envelope, properties, bytes, start, end))
    // [MQTT-3.3.5-2]: QoS 0 has no answer.
    if (envelope.qos === 0) this.#refusal = undefined
    return number
  }

  /** Says no in MQTT 5; before that there is no such word, and the connection ends [MQTT-3.3.5-2]. */
  #refuse(link: IncomingLink, number: number, type: PacketType, id: number, error: BrokerError): MqttFault | undefined {
    const { replies } = link
    const { output, request } = link.link
    const reason = publishReason(error)
    if (request.level < 5) return { reason, sentence: error.message }
    if (request.wantsProblems && request.packetBytesMax > Buffer.byteLength(error.message) + ackBytesMax) {
      const writer = new PropertyWriter()
      writer.text(Property.reasonString, error.message)
      replies.defer(number, () => writeAckWith(output, type, id, reason, writer.bytes))
    } else replies.add(number, type, id, reason)
    return undefined
  }

  #addressOf(bytes: Buffer, start: number, end: number, properties: Properties): Address | MqttFault {
    if (properties.has(Property.topicAlias)) return this.#addressOfAlias(bytes, start, end, properties)
    const last = this.#lastTopic
    if (last !== undefined && last.length === end - start && isEqual(last, bytes, start)) {
      return this.#lastAddress as Address
    }
    if (start === end && this.#link?.link.request.level === 5) {
      return protocolError('an empty topic name without a topic alias')
    }
    const address = this.#addresses.read(bytes, start, end)
    if (!('kind' in address)) return address
    this.#lastTopic = Buffer.from(bytes.subarray(start, end))
    this.#lastAddress = address
    return address
  }

  /** 3.3.2.3.4: a topic name sets the alias, an empty one uses it. */
  #addressOfAlias(bytes: Buffer, start: number, end: number, properties: Properties): Address | MqttFault {
    const alias = properties.number(Property.topicAlias, 0)
    if (alias > this.#options.topicAliasMax) {
      const sentence = `the topic alias ${alias}; ${this.#options.topicAliasMax} is the largest [MQTT-3.3.2-9]`
      return { reason: Reason.topicAliasInvalid, sentence }
    }
    if (start === end) {
      return this.#aliases?.get(alias) ?? protocolError(`the topic alias ${alias} stands for nothing`)
    }
    const address = this.#addresses.read(bytes, start, end)
    if (!('kind' in address)) return address
    this.#aliases ??= new Map()
    this.#aliases.set(alias, address)
    return address
  }
}

function isEqual(last: Buffer, bytes: Buffer, start: number): boolean {
  for (let index = 0; index < last.length; index += 1) if (last[index] !== bytes[start + index]) return false
  return true
}
