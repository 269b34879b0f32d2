import { type Address, BrokerError } from '../../src/core.ts'
import type { MqttOptions, PacketLimits } from './limits.ts'
import { type Level, type MqttFault, malformed, PacketType, protocolError, Reason, varintMax } from './packet.ts'
import { type Properties, Property, willProperties } from './properties.ts'
import { Reader } from './reader.ts'
import { levelCount, readTopicName } from './topics.ts'

/** The message that is published if the connection ends badly (3.1.2.5). */
export interface Will {
  readonly address: Address
  readonly qos: number
  readonly retain: boolean
  readonly delayMs: number
  /** Properties with their length, and the payload, as the client sent them. */
  readonly properties: Buffer
  readonly payload: Buffer
}

/** What a CONNECT asks for (3.1). */
export interface ConnectRequest {
  readonly level: Level
  readonly cleanStart: boolean
  readonly keepAliveMs: number
  /** Empty: the server is to choose one. */
  readonly clientId: string
  readonly user: string | undefined
  readonly password: string | undefined
  readonly will: Will | undefined
  /** How long the session outlives the connection; Infinity: until it is taken up or cleaned. */
  readonly expiryMs: number
  readonly receiveMaximum: number
  readonly packetBytesMax: number
  readonly topicAliasMaximum: number
  readonly wantsResponseInformation: boolean
  /** Whether reason strings and user properties may go along with refusals (3.1.2.11.7). */
  readonly wantsProblems: boolean
  readonly authMethod: string | undefined
  readonly authData: Buffer | undefined
}

/** What is wrong with a CONNECT, and in which version's words to say so. */
export interface ConnectFault extends MqttFault {
  /** Undefined: none that we speak. */
  readonly level: Level | undefined
}

const endless = 0xffff_ffff
const receiveMaximumDefault = 65_535

const Flag = { reserved: 1, clean: 2, will: 4, willRetain: 32, password: 64, user: 128 } as const

/** Reads the first packet of a connection, bytes `start` to `end`; into `properties` what it has of those. */
export function readConnect(
  bytes: Buffer,
  start: number,
  end: number,
  { limits, properties }: { readonly limits: PacketLimits; readonly properties: Properties },
): ConnectRequest | ConnectFault {
  const reader = new Reader(bytes, start, end)
  const name = reader.text()
  const level = reader.byte()
  if (reader.fault !== undefined) return { ...reader.fault, level: undefined }
  if (!isKnown(name, level)) return unknownVersion(name, level)
  properties.clear()
  const request = readFields(reader, level, properties, limits)
  const fault = reader.fault ?? (reader.at < end ? malformed('bytes after the payload of CONNECT') : undefined)
  return fault === undefined ? request : { reason: fault.reason, sentence: fault.sentence, level }
}

/** [MQTT-3.1.2-1] the name, [MQTT-3.1.2-2] the version. */
function isKnown(name: string, level: number): level is Level {
  return name === 'MQTT' ? level === 4 || level === 5 : name === 'MQIsdp' && level === 3
}

function unknownVersion(name: string, level: number): ConnectFault {
  const sentence = `the protocol "${name.slice(0, 32)}" of level ${level}; spoken are MQTT 3.1, 3.1.1 and 5`
  // Who says MQTT understands one of the answers; who says something else, none.
  const answer: Level | undefined = name !== 'MQTT' ? undefined : level > 5 ? 5 : 4
  return { reason: Reason.unsupportedProtocolVersion, sentence, level: answer }
}

function readFields(reader: Reader, level: Level, properties: Properties, limits: PacketLimits): ConnectRequest {
  const flags = reader.byte()
  checkFlags(reader, flags, level)
  const keepAliveMs = reader.short() * 1000
  if (level === 5) readProperties(reader, properties, PacketType.connect)
  const cleanStart = (flags & Flag.clean) !== 0
  const expiryMs = expiryOf(level, cleanStart, properties)
  const receiveMaximum = properties.number(Property.receiveMaximum, receiveMaximumDefault)
  const packetBytesMax = properties.number(Property.maximumPacketSize, varintMax + 5)
  const topicAliasMaximum = properties.number(Property.topicAliasMaximum, 0)
  const wantsResponseInformation = properties.number(Property.requestResponse, 0) === 1
  const wantsProblems = properties.number(Property.requestProblem, 1) === 1
  const authMethod = properties.text(Property.authMethod)
  const authData = properties.binary(Property.authData)
  if (authData !== undefined && authMethod === undefined) {
    reader.fail(protocolError('authentication data without a method'))
  }
  const clientId = reader.text()
  if (Buffer.byteLength(clientId) > limits.clientIdBytesMax || (level === 3 && clientId === '')) {
    const sentence = `the client id has 1 to ${limits.clientIdBytesMax} bytes (limits.clientIdBytesMax)`
    reader.fail({ reason: Reason.clientIdNotValid, sentence })
  }
  const will = (flags & Flag.will) === 0 ? undefined : readWill(reader, flags, level, { limits, properties })
  const user = (flags & Flag.user) === 0 ? undefined : reader.text()
  const password = (flags & Flag.password) === 0 ? undefined : reader.binary().toString()
  // Every connection keeps one: a literal, since what is spread has a shape of its own.
  return {
    level,
    cleanStart,
    keepAliveMs,
    clientId,
    user,
    password,
    will,
    expiryMs,
    receiveMaximum,
    packetBytesMax,
    topicAliasMaximum,
    wantsResponseInformation,
    wantsProblems,
    authMethod,
    authData,
  }
}

/** [MQTT-3.1.2-3] and the will flags [MQTT-3.1.2-11] to -15; a password needs a user name before MQTT 5 [MQTT-3.1.2-22]. */
function checkFlags(reader: Reader, flags: number, level: Level): void {
  const willQos = (flags >> 3) & 3
  const hasWill = (flags & Flag.will) !== 0
  if ((flags & Flag.reserved) !== 0) reader.fail(malformed('the reserved flag of CONNECT is set [MQTT-3.1.2-3]'))
  if (willQos === 3) reader.fail(malformed('the will has QoS 3 [MQTT-3.1.2-12]'))
  if (!hasWill && (willQos > 0 || (flags & Flag.willRetain) !== 0)) reader.fail(malformed('will flags without a will'))
  if (level < 5 && (flags & Flag.password) !== 0 && (flags & Flag.user) === 0) {
    reader.fail(malformed('a password without a user name [MQTT-3.1.2-22]'))
  }
}

function readProperties(reader: Reader, properties: Properties, packet: number): void {
  if (reader.fault !== undefined) return
  const fault = properties.read(reader.bytes, reader.at, reader.end, packet)
  if (fault === undefined) reader.at = properties.end
  else reader.fail(fault)
}

/** Before MQTT 5 a session that is not clean has no end. */
function expiryOf(level: Level, cleanStart: boolean, properties: Properties): number {
  if (level < 5) return cleanStart ? 0 : Number.POSITIVE_INFINITY
  const seconds = properties.number(Property.sessionExpiry, 0)
  return secondsMs(seconds)
}

/** Session expiry intervals: the largest number is no end (3.1.2.11.2). */
export function secondsMs(seconds: number): number {
  return seconds === endless ? Number.POSITIVE_INFINITY : seconds * 1000
}

function readWill(
  reader: Reader,
  flags: number,
  level: Level,
  { limits, properties }: { readonly limits: PacketLimits; readonly properties: Properties },
): Will | undefined {
  const start = reader.at
  if (level === 5) readProperties(reader, properties, willProperties)
  const propertyBytes = level === 5 ? Buffer.from(reader.bytes.subarray(start, reader.at)) : Buffer.of(0)
  if (hasWildcard(properties.text(Property.responseTopic))) {
    reader.fail(protocolError('the will has a response topic with a wildcard [MQTT-3.3.2-14]'))
  }
  const topic = reader.text()
  const payload = reader.binary()
  if (reader.fault !== undefined) return undefined
  const address = addressOfTopic(topic, limits)
  if (address instanceof BrokerError) {
    reader.fail({ reason: Reason.topicNameInvalid, sentence: `the will: ${address.message}` })
    return undefined
  }
  return {
    address,
    qos: (flags >> 3) & 3,
    retain: (flags & Flag.willRetain) !== 0,
    delayMs: properties.number(Property.willDelay, 0) * 1000,
    properties: propertyBytes,
    payload,
  }
}

/** The address of a topic name that a client publishes to (4.7.3), or why it has none. */
export function addressOfTopic(topic: string, limits: PacketLimits): Address | BrokerError {
  const fault = nameFault(topic, limits)
  if (fault !== undefined)
    return new BrokerError('invalid-destination', `the topic name "${topic.slice(0, 120)}" ${fault}`)
  return readTopicName(topic)
}

/** True if a topic is no topic name, but a filter. */
export function hasWildcard(topic: string | undefined): boolean {
  return topic !== undefined && /[+#]/.test(topic)
}

/** [MQTT-3.3.2-2] no wildcards, [MQTT-4.7.3-1] not empty. */
function nameFault(topic: string, limits: PacketLimits): string | undefined {
  if (topic === '') return 'is empty'
  if (hasWildcard(topic)) return 'has a wildcard'
  if (topic.startsWith('$SYS/')) return 'is one that only the broker publishes to'
  return sizeFault(topic, limits)
}

/** Why a topic name or filter is too long, if it is. */
export function sizeFault(topic: string, limits: PacketLimits): string | undefined {
  if (Buffer.byteLength(topic) > limits.topicBytesMax) return `has more than ${limits.topicBytesMax} bytes`
  if (levelCount(topic) > limits.topicLevelsMax) return `has more than ${limits.topicLevelsMax} levels`
  return undefined
}

/** The keep-alive that holds: the client's, unless the listener has a shorter one that MQTT 5 can tell it of. */
export function keepAliveOf(request: ConnectRequest, { keepAliveMsMax }: MqttOptions): number {
  const { keepAliveMs, level } = request
  if (level < 5 || keepAliveMsMax === 0) return keepAliveMs
  return keepAliveMs === 0 ? keepAliveMsMax : Math.min(keepAliveMs, keepAliveMsMax)
}
