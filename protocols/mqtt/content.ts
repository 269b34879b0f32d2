/**
 * MQTT messages as content:
 *
 *     01 | 01 01 | 26 00 01 61 00 01 62 | hello
 *     QoS  MQTT 5 properties as they came, without their length and   payload,
 *          without what says how a message travels                    from bodyOffset on
 */
import {
  type Address,
  type Body,
  BrokerError,
  type ContentFormat,
  jsonOfValue,
  Message,
  type MessageSource,
  type MessageView,
  scalar,
  textOfValue,
  type Value,
} from '../../src/core.ts'
import { PacketType } from './packet.ts'
import { Properties, Property, PropertyWriter, stringBytesMax } from './properties.ts'
import { readTopicName, writeTopicName } from './topics.ts'
import { isUtf8 } from './utf8.ts'

/**
 * User properties by which MQTT 5 clients say what MQTT has no word for. A sender's stay in the message; fields of a message of
 * another protocol that MQTT lacks are written as them.
 */
export const brokerProperty = {
  groupId: 'manifoldmq-group-id',
  /** Milliseconds. */
  delay: 'manifoldmq-delay',
  /** 0 to 9. */
  priority: 'manifoldmq-priority',
  /** Milliseconds; Message Expiry Interval has seconds. */
  ttl: 'manifoldmq-ttl',
  /** In a SUBSCRIBE. */
  selector: 'manifoldmq-selector',
  subject: 'manifoldmq-subject',
  contentEncoding: 'manifoldmq-content-encoding',
} as const

const brokerPropertyPrefix = 'manifoldmq-'
const priorityNormal = 4
const priorityMax = 9
/** Where the properties begin in content. */
const propertiesStart = 1

class MqttFormat implements ContentFormat {
  readonly name = 'mqtt'

  view(message: Message): MessageView {
    const { content, bodyOffset } = message
    const properties = new Properties()
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.length)
    properties.readRange(bytes, propertiesStart, bodyOffset, PacketType.publish)
    const users = properties.userProperties()
    const replyTo = properties.text(Property.responseTopic)
    const address = replyTo === undefined || replyTo === '' ? undefined : readTopicName(replyTo)
    const contentType = properties.text(Property.contentType)
    return {
      messageId: undefined,
      correlationId: correlationOf(properties.binary(Property.correlationData)),
      replyTo: address instanceof BrokerError ? undefined : address,
      subject: userValue(users, brokerProperty.subject),
      contentType,
      contentEncoding: userValue(users, brokerProperty.contentEncoding),
      userId: undefined,
      properties: users,
      body: bodyOf(bytes.subarray(bodyOffset), contentType, properties.number(Property.payloadFormat, 0) === 1),
    }
  }
}

export const mqttFormat: ContentFormat = new MqttFormat()

/** Text, so that protocols of text can show it, if it is text; MQTT itself gets the bytes as they came. */
function correlationOf(bytes: Buffer | undefined): Value | undefined {
  if (bytes === undefined) return undefined
  return isUtf8(bytes, 0, bytes.length) ? bytes.toString() : bytes
}

/** Text or bytes: the payload format says so, else the content type; what says neither is text if it is valid UTF-8. */
function bodyOf(bytes: Buffer, contentType: string | undefined, saysText: boolean): Body {
  if (bytes.length === 0) return { kind: 'empty' }
  const isBytes = !saysText && contentType?.startsWith('application/octet-stream') === true
  if (isBytes || !isUtf8(bytes, 0, bytes.length)) return { kind: 'bytes', bytes }
  return { kind: 'text', text: bytes.toString() }
}

function userValue(pairs: readonly (readonly [string, string])[], name: string): string | undefined {
  return pairs.find(([each]) => each === name)?.[1]
}

/** What a PUBLISH becomes beside its bytes. */
export interface Envelope {
  readonly address: Address
  readonly qos: number
  readonly retain: boolean
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly source: MessageSource
}

/** Where a message lies: its properties, cleared if it has none, and its payload as bytes `start` to `end`. */
export interface Payload {
  readonly properties: Properties
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

/** The message of a payload. The bytes are copied. */
export function toMessage(envelope: Envelope, { properties, bytes, start, end }: Payload): Message {
  const { now, qos, source } = envelope
  const hasProperties = properties.end > properties.start
  const bodyOffset = hasProperties ? propertiesStart + properties.forwardedBytes : propertiesStart
  const content = Buffer.allocUnsafe(bodyOffset + end - start)
  content[0] = qos
  if (hasProperties) properties.copyForwarded(content, propertiesStart)
  bytes.copy(content, bodyOffset, start, end)
  const said = properties.pairs.length > 0 ? saidOf(properties) : undefined
  const expiryMs = properties.number(Property.messageExpiry, -1) * 1000
  const ttlMs = said?.ttlMs ?? (expiryMs < 0 ? undefined : expiryMs)
  return new Message({
    address: envelope.address,
    format: mqttFormat,
    content,
    bodyOffset,
    durable: qos > 0,
    priority: said?.priority ?? priorityNormal,
    // A lifetime of no time at all has passed when it is looked at.
    expiresAt: ttlMs === undefined ? 0 : Math.max(1, now + ttlMs),
    deliverAt: said?.delayMs === undefined || said.delayMs === 0 ? 0 : now + said.delayMs,
    timestamp: now,
    groupId: said?.groupId,
    retain: envelope.retain,
    source,
    number: source.next(),
    annotations: undefined,
  })
}

interface Said {
  readonly groupId: string | undefined
  readonly delayMs: number | undefined
  readonly priority: number | undefined
  readonly ttlMs: number | undefined
}

/** What the sender says in user properties of the broker's. */
function saidOf(properties: Properties): Said | undefined {
  const { bytes, pairs } = properties
  let isAny = false
  for (let index = 0; index < pairs.length && !isAny; index += 4) {
    isAny = bytes.toString('latin1', pairs[index], pairs[index + 1]).startsWith(brokerPropertyPrefix)
  }
  if (!isAny) return undefined
  const users = properties.userProperties()
  const priority = countOf(users, brokerProperty.priority)
  return {
    groupId: userValue(users, brokerProperty.groupId),
    delayMs: countOf(users, brokerProperty.delay),
    priority: priority === undefined ? undefined : Math.min(priority, priorityMax),
    ttlMs: countOf(users, brokerProperty.ttl),
  }
}

function countOf(pairs: readonly (readonly [string, string])[], name: string): number | undefined {
  const text = userValue(pairs, name)
  return text !== undefined && /^\d{1,13}$/.test(text) ? Number(text) : undefined
}

/** A message's bytes as MQTT sends them: properties from `propertiesStart`, payload from `payloadStart`. */
export interface MqttContent {
  readonly content: Uint8Array
  readonly propertiesStart: number
  readonly payloadStart: number
}

/** The QoS that the message was published with; what came by another protocol is delivered with any. */
export function publishedQos(message: Message): number {
  return message.format === mqttFormat ? (message.content[0] as number) : 2
}

/** As it came if it came by MQTT, and otherwise encoded. */
export function contentOf(message: Message): MqttContent {
  const { annotations, bodyOffset, content, format } = message
  if (format === mqttFormat && annotations === undefined) return { content, propertiesStart, payloadStart: bodyOffset }
  const writer = new PropertyWriter()
  let body: Uint8Array = content.subarray(bodyOffset)
  // What the broker says comes first, so that it counts and not what a sender may have written.
  for (const [name, value] of Object.entries(annotations ?? {})) writer.pair(name, String(value))
  if (format === mqttFormat) writer.raw(content.subarray(propertiesStart, bodyOffset))
  else body = encodeView(message, writer)
  const properties = writer.bytes
  return { content: Buffer.concat([properties, body]), propertiesStart: 0, payloadStart: properties.length }
}

/** Writes the canonical form's fields as properties. Returns the payload. */
function encodeView(message: Message, writer: PropertyWriter): Uint8Array {
  const view = message.view()
  const { body } = view
  if (body.kind === 'text') writer.byte(Property.payloadFormat, 1)
  if (view.contentType !== undefined) writer.text(Property.contentType, view.contentType)
  if (view.replyTo !== undefined) writer.text(Property.responseTopic, writeTopicName(view.replyTo))
  if (view.correlationId !== undefined) writer.binary(Property.correlationData, bytesOf(view.correlationId))
  if (view.subject !== undefined) writer.pair(brokerProperty.subject, view.subject)
  if (view.contentEncoding !== undefined) writer.pair(brokerProperty.contentEncoding, view.contentEncoding)
  if (message.groupId !== undefined) writer.pair(brokerProperty.groupId, message.groupId)
  if (message.priority !== priorityNormal) writer.pair(brokerProperty.priority, String(message.priority))
  for (const [name, value] of view.properties) writer.pair(name, textOfValue(value))
  return payloadOf(body)
}

function payloadOf(body: Body): Uint8Array {
  switch (body.kind) {
    case 'bytes':
      return body.bytes
    case 'text':
      return Buffer.from(body.text)
    case 'empty':
      return new Uint8Array(0)
    case 'value':
      return bytesOf(body.value)
    case 'map':
      return Buffer.from(JSON.stringify(jsonOfValue({ type: 'map', value: body.entries })))
    case 'list':
      return Buffer.from(JSON.stringify(jsonOfValue({ type: 'list', value: body.items })))
    default:
      return body satisfies never
  }
}

function bytesOf(value: Value): Uint8Array {
  const plain = scalar(value)
  const bytes = plain instanceof Uint8Array ? plain : Buffer.from(textOfValue(value))
  return bytes.length > stringBytesMax ? bytes.subarray(0, stringBytesMax) : bytes
}
