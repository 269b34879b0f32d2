import { type Level, PacketType, varintBytes } from './packet.ts'

/**
 * Where packets are written: `buffer` from `position`, after {@link reserve}. `write` takes long bytes without a copy, so they
 * must not change any more. src/transport/output.ts is one.
 */
export interface ByteSink {
  buffer: Buffer
  position: number
  reserve(bytes: number): void
  write(bytes: Uint8Array): void
}

/** Payloads at least this long go through {@link ByteSink.write}; shorter ones are copied behind their head. */
const copyBytesMax = 8 * 1024
/** Short copies: a loop is faster than a call up to some dozen bytes. */
const loopBytesMax = 32
/** Bytes of a fixed header at most. */
const fixedBytesMax = 5

const noBytes = Buffer.alloc(0)

/** One PUBLISH, for {@link writePublish}. Meant to be reused: set all fields, write, set some of them again. */
export class OutgoingPublish {
  /** The topic name with its two bytes of length. */
  topic: Uint8Array
  /** Properties that are the same for every receiver, as bytes `propertiesStart` to `payloadStart` of `content`. */
  content: Uint8Array
  propertiesStart: number
  payloadStart: number
  /** Properties that differ by receiver; they go first. */
  extra: Uint8Array

  constructor() {
    this.topic = noBytes
    this.content = noBytes
    this.propertiesStart = 0
    this.payloadStart = 0
    this.extra = noBytes
  }
}

/** Bytes of the whole packet, as a maximum packet size counts them (3.1.2.11.4). */
export function publishBytes(publish: OutgoingPublish, qos: number, level: Level): number {
  const remaining = remainingBytes(publish, qos, level)
  return 1 + varintBytes(remaining) + remaining
}

function remainingBytes(publish: OutgoingPublish, qos: number, level: Level): number {
  const bytes = publish.topic.length + publish.content.length - publish.payloadStart + (qos > 0 ? 2 : 0)
  return level < 5 ? bytes : bytes + propertyBytes(publish)
}

function propertyBytes({ extra, payloadStart, propertiesStart }: OutgoingPublish): number {
  const bytes = extra.length + payloadStart - propertiesStart
  return varintBytes(bytes) + bytes
}

/** Writes a PUBLISH. `flags`: the low half of its first byte; `id` counts if the flags have a QoS. */
export function writePublish(sink: ByteSink, publish: OutgoingPublish, flags: number, id: number, level: Level): void {
  const { topic, content, payloadStart } = publish
  const qos = (flags >> 1) & 3
  const remaining = remainingBytes(publish, qos, level)
  const payloadBytes = content.length - payloadStart
  const isShort = payloadBytes < copyBytesMax
  sink.reserve(isShort ? fixedBytesMax + remaining : fixedBytesMax + remaining - payloadBytes)
  const { buffer } = sink
  let at = sink.position
  buffer[at++] = (PacketType.publish << 4) | flags
  at = putVarint(buffer, at, remaining)
  at = copy(buffer, at, topic, 0, topic.length)
  if (qos > 0) {
    buffer[at++] = id >> 8
    buffer[at++] = id & 255
  }
  if (level === 5) {
    const { extra, propertiesStart } = publish
    at = putVarint(buffer, at, extra.length + payloadStart - propertiesStart)
    at = copy(buffer, at, extra, 0, extra.length)
    at = copy(buffer, at, content, propertiesStart, payloadStart)
  }
  if (isShort) {
    sink.position = copy(buffer, at, content, payloadStart, content.length)
    return
  }
  sink.position = at
  sink.write(payloadStart === 0 ? content : content.subarray(payloadStart))
}

/** Writes a PUBACK, PUBREC, PUBREL or PUBCOMP; a reason of 0 needs no byte (3.4.2.1). */
export function writeAck(sink: ByteSink, type: PacketType, id: number, reason: number, level: Level): void {
  sink.reserve(5)
  const { buffer } = sink
  let at = sink.position
  const hasReason = level === 5 && reason !== 0
  buffer[at++] = type === PacketType.pubrel ? 0x62 : type << 4
  buffer[at++] = hasReason ? 3 : 2
  buffer[at++] = id >> 8
  buffer[at++] = id & 255
  if (hasReason) buffer[at++] = reason
  sink.position = at
}

/** Writes an acknowledgement of MQTT 5 with properties. */
export function writeAckWith(
  sink: ByteSink,
  type: PacketType,
  id: number,
  reason: number,
  properties: Uint8Array,
): void {
  const flags = type === PacketType.pubrel ? 2 : 0
  writePacket(sink, (type << 4) | flags, [idBytes(id), Uint8Array.of(reason), withLength(properties)])
}

/** Writes a CONNACK (3.2); `properties` for level 5. */
export function writeConnack(
  sink: ByteSink,
  level: Level,
  answer: { readonly isPresent: boolean; readonly reason: number; readonly properties: Uint8Array },
): void {
  const head = [answer.isPresent ? 1 : 0, answer.reason]
  if (level === 5) writePacket(sink, PacketType.connack << 4, [Uint8Array.from(head), withLength(answer.properties)])
  else writeShort(sink, PacketType.connack << 4, head)
}

/** Writes a SUBACK or UNSUBACK (3.9, 3.11); an UNSUBACK has no reasons before MQTT 5. */
export function writeReasons(
  sink: ByteSink,
  type: PacketType,
  id: number,
  level: Level,
  reasons: readonly number[],
): void {
  const [high, low] = [id >> 8, id & 255]
  if (level === 5) writeShort(sink, type << 4, [high, low, 0, ...reasons])
  else writeShort(sink, type << 4, type === PacketType.suback ? [high, low, ...reasons] : [high, low])
}

/** Writes a DISCONNECT or AUTH of MQTT 5 (3.14, 3.15). */
export function writeReason(sink: ByteSink, type: PacketType, reason: number, properties: Uint8Array): void {
  writePacket(sink, type << 4, [Uint8Array.of(reason), withLength(properties)])
}

export function writePingResponse(sink: ByteSink): void {
  sink.reserve(2)
  sink.buffer[sink.position] = PacketType.pingresp << 4
  sink.buffer[sink.position + 1] = 0
  sink.position += 2
}

/** Writes a packet of these bytes behind its first one. A short list of numbers costs less than a Uint8Array. */
function writeShort(sink: ByteSink, first: number, bytes: readonly number[]): void {
  sink.reserve(fixedBytesMax + bytes.length)
  const { buffer } = sink
  let at = sink.position
  buffer[at++] = first
  at = putVarint(buffer, at, bytes.length)
  for (const byte of bytes) buffer[at++] = byte
  sink.position = at
}

/** Writes a packet of these parts behind its first byte. */
export function writePacket(sink: ByteSink, first: number, parts: readonly Uint8Array[]): void {
  const remaining = parts.reduce((sum, part) => sum + part.length, 0)
  sink.reserve(fixedBytesMax + remaining)
  const { buffer } = sink
  let at = sink.position
  buffer[at++] = first
  at = putVarint(buffer, at, remaining)
  for (const part of parts) at = copy(buffer, at, part, 0, part.length)
  sink.position = at
}

/** A packet identifier. */
export function idBytes(id: number): Uint8Array {
  return Uint8Array.of(id >> 8, id & 255)
}

/** Properties behind their length. */
export function withLength(properties: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(varintBytes(properties.length) + properties.length)
  bytes.set(properties, putVarint(bytes, 0, properties.length))
  return bytes
}

/** Writes a variable byte integer (1.5.5). Returns where the next byte goes. */
export function putVarint(bytes: Uint8Array, position: number, value: number): number {
  let at = position
  let rest = value
  while (rest > 127) {
    bytes[at++] = (rest & 127) | 128
    rest >>= 7
  }
  bytes[at++] = rest
  return at
}

function copy(buffer: Uint8Array, position: number, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length > loopBytesMax)
    buffer.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), position)
  else for (let from = start, at = position; from < end; ) buffer[at++] = bytes[from++] as number
  return position + length
}
