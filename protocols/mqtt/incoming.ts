import { type Address, BrokerError } from '../../src/core.ts'
import type { Attachment } from './attachment.ts'
import { addressOfTopic, hasWildcard } from './connect.ts'
import { type Payload, toMessage } from './content.ts'
import { writeAckWith } from './encoder.ts'
import type { SessionKeys } from './keys.ts'
import type { MqttOptions } from './limits.ts'
import { type MqttFault, malformed, PacketType, protocolError, Reason } from './packet.ts'
import { type Properties, Property, PropertyWriter } from './properties.ts'
import { publishReason } from './reasons.ts'
import { isUtf8 } from './utf8.ts'

/** Topic names that are remembered with their addresses, by all connections of a listener. */
const addressesKept = 16_384
/** Bytes of an acknowledgement with a reason string, without the string, and to spare. */
const ackBytesMax = 32
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

/** One PUBLISH, taken apart. Reused for every packet. */
export class PublishPacket implements Payload {
  readonly properties: Properties
  bytes: Buffer
  start: number
  end: number
  qos: number
  retain: boolean
  /** 0: it has none. */
  id: number

  constructor(properties: Properties) {
    this.properties = properties
    this.bytes = Buffer.alloc(0)
    this.start = 0
    this.end = 0
    this.qos = 0
    this.retain = false
    this.id = 0
  }
}

/** Messages from one client: what it publishes, and its half of QoS 2. */
export class Incoming {
  readonly #keys: SessionKeys
  readonly #options: MqttOptions
  readonly #addresses: Addresses
  readonly #packet: PublishPacket
  #attached: Attachment | undefined
  /** Packet ids of QoS 2 that have come and are not released. */
  #received: Set<number> | undefined
  #aliases: Map<number, Address> | undefined
  #lastTopic: Buffer | undefined
  #lastAddress: Address | undefined
  #refusal: BrokerError | undefined

  constructor(keys: SessionKeys, options: MqttOptions, addresses: Addresses, packet: PublishPacket) {
    this.#keys = keys
    this.#options = options
    this.#addresses = addresses
    this.#packet = packet
    this.#attached = undefined
    this.#received = undefined
    this.#aliases = undefined
    this.#lastTopic = undefined
    this.#lastAddress = undefined
    this.#refusal = undefined
  }

  attach(attached: Attachment): void {
    this.#attached = attached
    this.#aliases = undefined
  }

  detach(): void {
    this.#attached = undefined
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
    const attached = this.#attached
    if (attached === undefined) return undefined
    const packet = this.#packet
    const qos = (first >> 1) & 3
    if (qos === 3 || (qos === 0 && (first & 8) !== 0)) return malformed('PUBLISH with impossible flags [MQTT-3.3.1-4]')
    if (start + 2 > end) return malformed('PUBLISH is cut off')
    const topicEnd = start + 2 + ((bytes[start] as number) << 8) + (bytes[start + 1] as number)
    const payloadStart = topicEnd + (qos > 0 ? 2 : 0)
    if (payloadStart > end) return malformed('PUBLISH is cut off')
    packet.bytes = bytes
    packet.start = payloadStart
    packet.end = end
    packet.qos = qos
    packet.retain = (first & 1) !== 0
    packet.id = qos > 0 ? ((bytes[topicEnd] as number) << 8) | (bytes[topicEnd + 1] as number) : 0
    if (qos > 0 && packet.id === 0) return malformed('PUBLISH with the packet id 0 [MQTT-2.2.1-3]')
    const fault = attached.link.request.level === 5 ? readProperties(packet) : packet.properties.clear()
    if (fault !== undefined) return fault
    const address = this.#addressOf(start + 2, topicEnd)
    if (!('kind' in address)) return address
    if (qos > 0) return this.#sendSurely(attached, address, isDurable)
    this.#send(attached, address)
    // [MQTT-3.3.5-2]: QoS 0 has no answer.
    this.#refusal = undefined
    return undefined
  }

  /** PUBREL: the id is free again, and that is on disk before the PUBCOMP leaves. */
  released(id: number): void {
    const attached = this.#attached
    if (attached === undefined) return
    const { session, syncReplies } = attached
    const isKnown = this.#received?.delete(id) ?? false
    if (isKnown) session.putState(this.#keys.received(id), undefined)
    syncReplies.add(session.sync(), PacketType.pubcomp, id, isKnown ? Reason.success : Reason.packetIdNotFound)
  }

  #sendSurely(attached: Attachment, address: Address, isDurable: boolean): MqttFault | undefined {
    const { link, replies, session } = attached
    const { id, qos } = this.#packet
    const type = qos === 2 ? PacketType.pubrec : PacketType.puback
    if (qos === 2 && this.#received?.has(id) === true) {
      // [MQTT-4.3.3-10]: it has been sent on already.
      replies.add(session.sync(), type, id, Reason.success)
      return undefined
    }
    const is5 = link.request.level === 5
    if (is5 && replies.pubackCount + (this.#received?.size ?? 0) >= this.#options.receiveMax) {
      const sentence = `more than ${this.#options.receiveMax} messages unacknowledged (receiveMax) [MQTT-3.3.4-7]`
      return { reason: Reason.receiveMaximumExceeded, sentence }
    }
    const number = this.#send(attached, address)
    const refusal = this.#refusal
    if (refusal !== undefined) {
      this.#refusal = undefined
      return this.#refuse(attached, number, type, refusal)
    }
    if (qos === 2) {
      this.restore(id)
      if (isDurable) session.putState(this.#keys.received(id), stored)
    }
    replies.add(number, type, id, is5 && session.wentNowhere ? Reason.noMatchingSubscribers : Reason.success)
    return undefined
  }

  #send({ link, session }: Attachment, address: Address): number {
    const { qos, retain } = this.#packet
    return session.send(toMessage({ address, qos, retain, now: link.now, source: session.source }, this.#packet))
  }

  /** Says no in MQTT 5; before that there is no such word, and the connection ends [MQTT-3.3.5-2]. */
  #refuse({ link, replies }: Attachment, number: number, type: PacketType, error: BrokerError): MqttFault | undefined {
    const { output, request } = link
    const { id } = this.#packet
    const reason = publishReason(error)
    if (request.level < 5) return { reason, sentence: error.message }
    if (request.wantsProblems && request.packetBytesMax > Buffer.byteLength(error.message) + ackBytesMax) {
      const writer = new PropertyWriter()
      writer.text(Property.reasonString, error.message)
      replies.defer(number, () => writeAckWith(output, type, id, reason, writer.bytes))
    } else replies.add(number, type, id, reason)
    return undefined
  }

  /** The address of the packet's topic, bytes `start` to `end`. */
  #addressOf(start: number, end: number): Address | MqttFault {
    const { bytes, properties } = this.#packet
    if (properties.has(Property.topicAlias)) return this.#addressOfAlias(start, end)
    const last = this.#lastTopic
    if (last !== undefined && last.length === end - start && isEqual(last, bytes, start)) {
      return this.#lastAddress as Address
    }
    if (start === end && this.#attached?.link.request.level === 5) {
      return protocolError('an empty topic name without a topic alias')
    }
    const address = this.#addresses.read(bytes, start, end)
    if (!('kind' in address)) return address
    this.#lastTopic = Buffer.from(bytes.subarray(start, end))
    this.#lastAddress = address
    return address
  }

  /** 3.3.2.3.4: a topic name sets the alias, an empty one uses it. */
  #addressOfAlias(start: number, end: number): Address | MqttFault {
    const { bytes, properties } = this.#packet
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

/** Reads the properties of MQTT 5; the payload begins behind them. */
function readProperties(packet: PublishPacket): MqttFault | undefined {
  const { properties } = packet
  const fault = properties.read(packet.bytes, packet.start, packet.end, PacketType.publish)
  if (fault !== undefined) return fault
  packet.start = properties.end
  if (!properties.has(Property.responseTopic) || !hasWildcard(properties.text(Property.responseTopic))) return undefined
  return protocolError('a response topic with a wildcard [MQTT-3.3.2-14]')
}

function isEqual(last: Buffer, bytes: Buffer, start: number): boolean {
  for (let index = 0; index < last.length; index += 1) if (last[index] !== bytes[start + index]) return false
  return true
}
