/**
 * The properties of MQTT 5 (2.2.2): a length, then identifiers with their values.
 *
 *     0d | 01 01 | 26 00 01 61 00 01 62 | ...
 *     length  payload format 1   user property "a" = "b"
 */
import { type MqttFault, malformed, PacketType, protocolError, Reason } from './packet.ts'
import { isUtf8 } from './utf8.ts'

export const Property = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionId: 0x0b,
  sessionExpiry: 0x11,
  assignedClientId: 0x12,
  serverKeepAlive: 0x13,
  authMethod: 0x15,
  authData: 0x16,
  requestProblem: 0x17,
  willDelay: 0x18,
  requestResponse: 0x19,
  responseInformation: 0x1a,
  serverReference: 0x1c,
  reasonString: 0x1f,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  maximumQos: 0x24,
  retainAvailable: 0x25,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
  wildcardAvailable: 0x28,
  subscriptionIdAvailable: 0x29,
  sharedAvailable: 0x2a,
} as const

export type Property = (typeof Property)[keyof typeof Property]

/** The will's properties are none of a packet; they have the number that no packet has. */
export const willProperties = 0

const Kind = { none: 0, byte: 1, short: 2, long: 3, varint: 4, text: 5, binary: 6, pair: 7 } as const

const last = Property.sharedAvailable
/** The kind of each property's value, and, a bit each, in which packets it may be. */
const kinds = new Uint8Array(last + 1)
const places = new Uint16Array(last + 1)

function know(property: Property, kind: number, ...packets: readonly number[]): void {
  kinds[property] = kind
  for (const packet of packets) places[property] = (places[property] as number) | (1 << packet)
}

const {
  connect,
  connack,
  publish,
  puback,
  pubrec,
  pubrel,
  pubcomp,
  subscribe,
  suback,
  unsubscribe,
  unsuback,
  disconnect,
  auth,
} = PacketType
know(Property.payloadFormat, Kind.byte, publish, willProperties)
know(Property.messageExpiry, Kind.long, publish, willProperties)
know(Property.contentType, Kind.text, publish, willProperties)
know(Property.responseTopic, Kind.text, publish, willProperties)
know(Property.correlationData, Kind.binary, publish, willProperties)
know(Property.subscriptionId, Kind.varint, subscribe)
know(Property.sessionExpiry, Kind.long, connect, connack, disconnect)
know(Property.assignedClientId, Kind.text, connack)
know(Property.serverKeepAlive, Kind.short, connack)
know(Property.authMethod, Kind.text, connect, connack, auth)
know(Property.authData, Kind.binary, connect, connack, auth)
know(Property.requestProblem, Kind.byte, connect)
know(Property.willDelay, Kind.long, willProperties)
know(Property.requestResponse, Kind.byte, connect)
know(Property.responseInformation, Kind.text, connack)
know(Property.serverReference, Kind.text, connack)
know(
  Property.reasonString,
  Kind.text,
  ...[connack, puback, pubrec, pubrel, pubcomp, suback, unsuback, disconnect, auth],
)
know(Property.receiveMaximum, Kind.short, connect, connack)
know(Property.topicAliasMaximum, Kind.short, connect, connack)
know(Property.topicAlias, Kind.short, publish)
know(
  Property.userProperty,
  Kind.pair,
  ...[connect, connack, publish, puback, pubrec, pubrel, pubcomp, subscribe, suback, unsubscribe, unsuback, disconnect],
  ...[auth, willProperties],
)
know(Property.maximumQos, Kind.byte, connack)
know(Property.retainAvailable, Kind.byte, connack)
know(Property.maximumPacketSize, Kind.long, connect, connack)
know(Property.wildcardAvailable, Kind.byte, connack)
know(Property.subscriptionIdAvailable, Kind.byte, connack)
know(Property.sharedAvailable, Kind.byte, connack)

/** Properties that are 0 or 1, and those that must not be 0: anything else is a Protocol Error. */
const flags: ReadonlySet<number> = new Set([Property.payloadFormat, Property.requestProblem, Property.requestResponse])
const positive: ReadonlySet<number> = new Set([
  Property.receiveMaximum,
  Property.maximumPacketSize,
  Property.subscriptionId,
])

/**
 * The properties of one packet as they lie in its bytes. Meant to be reused: {@link read} forgets what was there before.
 */
export class Properties {
  bytes: Buffer
  /** Where the first property begins and the last one ends. */
  start: number
  end: number
  /** Places of the user properties: start and end of name and value. */
  readonly pairs: number[]
  readonly #seen: Uint8Array
  /** The value of a number; of a text or binary where it begins. */
  readonly #values: Float64Array
  readonly #ends: Int32Array
  /** Places of the properties that go no further. */
  readonly #local: number[]

  constructor() {
    this.bytes = Buffer.alloc(0)
    this.start = 0
    this.end = 0
    this.pairs = []
    this.#seen = new Uint8Array(last + 1)
    this.#values = new Float64Array(last + 1)
    this.#ends = new Int32Array(last + 1)
    this.#local = []
  }

  /** Forgets everything: the packet has no properties. */
  clear(): undefined {
    if (this.end > this.start) this.#seen.fill(0)
    this.pairs.length = 0
    this.#local.length = 0
    this.start = 0
    this.end = 0
  }

  /** Reads the properties that begin with their length at `at`. `packet`: where they are. The next byte is at {@link end}. */
  read(bytes: Buffer, at: number, end: number, packet: number): MqttFault | undefined {
    const start = varintEnd(bytes, at, end)
    if (start < 0) return malformed('the length of the properties is not a variable byte integer')
    const length = varintValue(bytes, at, start)
    if (start + length > end) return malformed('the properties are longer than their packet')
    return this.readRange(bytes, start, start + length, packet)
  }

  /** As {@link read}, for properties without their length. */
  readRange(bytes: Buffer, start: number, end: number, packet: number): MqttFault | undefined {
    this.clear()
    this.bytes = bytes
    this.start = start
    this.end = end
    for (let next = start; next < end; ) {
      const result = this.#readOne(next, packet)
      if (typeof result !== 'number') return result
      if (isLocal(bytes[next] as number)) this.#local.push(next, result)
      next = result
    }
    return undefined
  }

  /** Bytes of what {@link copyForwarded} copies. */
  get forwardedBytes(): number {
    const local = this.#local
    let bytes = this.end - this.start
    for (let index = 0; index < local.length; index += 2)
      bytes -= (local[index + 1] as number) - (local[index] as number)
    return bytes
  }

  /** Copies the properties that go on to the receivers, in their order. Returns where the next byte goes. */
  copyForwarded(target: Uint8Array, position: number): number {
    let at = position
    let from = this.start
    for (let index = 0; index <= this.#local.length; index += 2) {
      const to = this.#local[index] ?? this.end
      target.set(this.bytes.subarray(from, to), at)
      at += to - from
      from = this.#local[index + 1] ?? this.end
    }
    return at
  }

  has(property: Property): boolean {
    return this.#seen[property] === 1
  }

  /** The value of a number; `otherwise` if the property is not there. */
  number(property: Property, otherwise: number): number {
    return this.#seen[property] === 1 ? (this.#values[property] as number) : otherwise
  }

  text(property: Property): string | undefined {
    if (this.#seen[property] !== 1) return undefined
    return this.bytes.toString('utf8', this.#values[property], this.#ends[property])
  }

  /** A copy of a binary value. */
  binary(property: Property): Buffer | undefined {
    if (this.#seen[property] !== 1) return undefined
    return Buffer.from(this.bytes.subarray(this.#values[property], this.#ends[property]))
  }

  /** The user properties in order. */
  userProperties(): (readonly [name: string, value: string])[] {
    const all: (readonly [string, string])[] = []
    for (let index = 0; index < this.pairs.length; index += 4) {
      const [nameStart, nameEnd, valueStart, valueEnd] = this.pairs.slice(index, index + 4)
      all.push([this.bytes.toString('utf8', nameStart, nameEnd), this.bytes.toString('utf8', valueStart, valueEnd)])
    }
    return all
  }

  /** Reads one property. Returns where the next one begins, or what is wrong. */
  #readOne(at: number, packet: number): number | MqttFault {
    const { bytes, end } = this
    // Identifiers are variable byte integers of which all that are defined have one byte (2.2.2.2).
    const property = bytes[at] as Property
    const kind = property <= last ? (kinds[property] as number) : Kind.none
    if (property === Property.subscriptionId && packet === PacketType.publish) {
      return protocolError('a subscription identifier in a PUBLISH to the server [MQTT-3.3.4-6]')
    }
    if (kind === Kind.none || ((places[property] as number) & (1 << packet)) === 0) {
      return malformed(`the property 0x${property.toString(16).padStart(2, '0')} has no place in this packet`)
    }
    if (property !== Property.userProperty) {
      if (this.#seen[property] === 1) return protocolError(`the property 0x${property.toString(16)} is there twice`)
      this.#seen[property] = 1
    }
    const value = at + 1
    switch (kind) {
      case Kind.byte:
        return this.#number(property, value, 1)
      case Kind.short:
        return this.#number(property, value, 2)
      case Kind.long:
        return this.#number(property, value, 4)
      case Kind.varint: {
        const after = varintEnd(bytes, value, end)
        if (after < 0) return malformed('a property is not a variable byte integer')
        return this.#keep(property, varintValue(bytes, value, after), after)
      }
      case Kind.pair: {
        const valueStart = this.#text(value, true)
        if (typeof valueStart !== 'number') return valueStart
        const after = this.#text(valueStart, true)
        if (typeof after === 'number') this.pairs.push(value + 2, valueStart, valueStart + 2, after)
        return after
      }
      default: {
        const after = this.#text(value, kind === Kind.text)
        if (typeof after !== 'number') return after
        this.#values[property] = value + 2
        this.#ends[property] = after
        return after
      }
    }
  }

  #number(property: Property, at: number, length: number): number | MqttFault {
    if (at + length > this.end) return malformed('a property is cut off')
    return this.#keep(property, this.bytes.readUIntBE(at, length), at + length)
  }

  #keep(property: Property, value: number, after: number): number | MqttFault {
    if ((value > 1 && flags.has(property)) || (value === 0 && positive.has(property))) {
      return protocolError(`the property 0x${property.toString(16)} must not be ${value}`)
    }
    if (value === 0 && property === Property.topicAlias) {
      return { reason: Reason.topicAliasInvalid, sentence: 'the topic alias 0 [MQTT-3.3.2-8]' }
    }
    this.#values[property] = value
    return after
  }

  /** Checks a string or binary with its length at `at`. Returns where it ends. */
  #text(at: number, isText: boolean): number | MqttFault {
    if (at + 2 > this.end) return malformed('a property is cut off')
    const after = at + 2 + this.bytes.readUInt16BE(at)
    if (after > this.end) return malformed('a property is cut off')
    if (isText && !isUtf8(this.bytes, at + 2, after)) return malformed('a property is not UTF-8')
    return after
  }
}

/** Properties that say how a message travels, not what it is: the broker writes its own to each receiver. */
function isLocal(property: number): boolean {
  return property === Property.messageExpiry || property === Property.topicAlias || property === Property.willDelay
}

/** Where a variable byte integer ends; -1 if it is none, or not in the fewest bytes [MQTT-1.5.5-1]. */
export function varintEnd(bytes: Uint8Array, at: number, end: number): number {
  for (let length = 1; length <= 4; length += 1) {
    if (at + length > end) return -1
    const byte = bytes[at + length - 1] as number
    if (byte < 128) return byte === 0 && length > 1 ? -1 : at + length
  }
  return -1
}

/** The value of the variable byte integer from `at` to `end`. */
export function varintValue(bytes: Uint8Array, at: number, end: number): number {
  let value = 0
  for (let index = end - 1; index >= at; index -= 1) value = value * 128 + ((bytes[index] as number) & 127)
  return value
}

/** Writes properties, for packets that are not sent per message. */
export class PropertyWriter {
  readonly #parts: Uint8Array[]

  constructor() {
    this.#parts = []
  }

  byte(property: Property, value: number): void {
    this.#parts.push(Uint8Array.of(property, value))
  }

  short(property: Property, value: number): void {
    this.#parts.push(Uint8Array.of(property, value >> 8, value & 255))
  }

  long(property: Property, value: number): void {
    const bytes = Buffer.alloc(5, property)
    bytes.writeUInt32BE(value, 1)
    this.#parts.push(bytes)
  }

  text(property: Property, value: string): void {
    this.binary(property, textBytes(value))
  }

  binary(property: Property, value: Uint8Array): void {
    this.#parts.push(Uint8Array.of(property), prefixed(value))
  }

  pair(name: string, value: string): void {
    this.#parts.push(Uint8Array.of(Property.userProperty), prefixed(textBytes(name)), prefixed(textBytes(value)))
  }

  varint(property: Property, value: number): void {
    const bytes: number[] = [property]
    for (let rest = value; ; rest >>= 7) {
      bytes.push(rest > 127 ? (rest & 127) | 128 : rest)
      if (rest <= 127) break
    }
    this.#parts.push(Uint8Array.from(bytes))
  }

  /** Properties as they are on the wire, without their length. */
  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes)
  }

  /** The properties without their length. */
  get bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

/** Longest string or binary of the wire. */
export const stringBytesMax = 65_535

/** Strings must not have the character U+0000 [MQTT-1.5.4-2], which other protocols may have. */
function textBytes(text: string): Buffer {
  return Buffer.from(text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text)
}

function prefixed(value: Uint8Array): Uint8Array {
  const kept = value.length > stringBytesMax ? value.subarray(0, stringBytesMax) : value
  return Buffer.concat([Uint8Array.of(kept.length >> 8, kept.length & 255), kept])
}
