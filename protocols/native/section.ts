/**
 * The message section: written once by the sender, stored and delivered as it is.
 *
 *     u8 kind   u16 present   the fields that are present, in the order of their bits
 *     varint length, then that many bytes: varint count, (str name, value)…     the properties
 *     body, to the end
 *
 * Field by bit: 0 persistent (no bytes) · 1 priority u8 · 2 expiresAt varint · 3 timestamp varint · 4 messageId str ·
 * 5 correlationId value · 6 replyTo str · 7 subject str · 8 group str, varint sequence · 9 contentType str ·
 * 10 deliverAt varint · 11 contentEncoding str · 12 traceparent str · 13 userId str · 14 retain (no bytes) · 15 to str
 */
import type { Value } from '../../src/core.ts'
import { Cursor } from './cursor.ts'
import { Malformed } from './frame.ts'
import { readEntries, readValue, skipEntries, skipItems, skipValue, writeCount, writeValue } from './values.ts'
import { type ByteSink, GrowingBytes, writeByte, writeBytes, writeString, writeU16, writeVarint } from './writer.ts'

export const Kind = { none: 0, bytes: 1, text: 2, map: 3, list: 4, value: 5, json: 6 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

const kindMax = 6
export const priorityNormal = 4
const priorityMax = 9

const Bit = {
  persistent: 1 << 0,
  priority: 1 << 1,
  expiresAt: 1 << 2,
  timestamp: 1 << 3,
  messageId: 1 << 4,
  correlationId: 1 << 5,
  replyTo: 1 << 6,
  subject: 1 << 7,
  group: 1 << 8,
  contentType: 1 << 9,
  deliverAt: 1 << 10,
  contentEncoding: 1 << 11,
  traceparent: 1 << 12,
  userId: 1 << 13,
  retain: 1 << 14,
  to: 1 << 15,
} as const

export type Properties = readonly (readonly [name: string, value: Value])[]

/** Everything a section says but its body. Times are milliseconds since the epoch; 0: none. */
export interface SectionHead {
  readonly kind: Kind
  readonly persistent: boolean
  readonly priority: number
  readonly expiresAt: number
  readonly timestamp: number
  readonly messageId: string | undefined
  readonly correlationId: Value | undefined
  readonly replyTo: string | undefined
  readonly subject: string | undefined
  readonly groupId: string | undefined
  readonly groupSequence: number
  readonly contentType: string | undefined
  readonly deliverAt: number
  readonly contentEncoding: string | undefined
  readonly traceparent: string | undefined
  readonly userId: string | undefined
  readonly retain: boolean
  readonly to: string | undefined
  readonly properties: Properties
}

/** A head of which nothing is said. */
export const plainHead: SectionHead = {
  kind: Kind.none,
  persistent: false,
  priority: priorityNormal,
  expiresAt: 0,
  timestamp: 0,
  messageId: undefined,
  correlationId: undefined,
  replyTo: undefined,
  subject: undefined,
  groupId: undefined,
  groupSequence: 0,
  contentType: undefined,
  deliverAt: 0,
  contentEncoding: undefined,
  traceparent: undefined,
  userId: undefined,
  retain: false,
  to: undefined,
  properties: [],
}

/** By kind, each not persistent and persistent. */
const plainHeads: SectionHead[] = []

/** A head that says nothing but the kind and whether it is persistent: always the same object. */
export function plainHeadOf(kind: Kind, persistent: boolean): SectionHead {
  const at = kind * 2 + Number(persistent)
  plainHeads[at] ??= { ...plainHead, kind, persistent }
  return plainHeads[at]
}

/** Bytes of {@link putPlainHead}. */
export const plainHeadBytes = 4

/** Writes a head that says nothing but the kind and whether it is persistent; there must be room. Returns where it ends. */
export function putPlainHead(buffer: Uint8Array, at: number, kind: Kind, persistent: boolean): number {
  buffer[at] = kind
  buffer[at + 1] = 0
  buffer[at + 2] = persistent ? Bit.persistent : 0
  buffer[at + 3] = 0
  return at + plainHeadBytes
}

/** Writes the head of a section; the body goes behind it. Throws a RangeError for what has no place in one. */
export function writeHead(bytes: GrowingBytes, head: SectionHead): void {
  writeByte(bytes, head.kind)
  const at = bytes.position
  writeU16(bytes, 0)
  const bits =
    (head.persistent ? Bit.persistent : 0) |
    (head.priority === priorityNormal ? 0 : writePriority(bytes, head.priority)) |
    writeNumber(bytes, Bit.expiresAt, head.expiresAt) |
    writeNumber(bytes, Bit.timestamp, head.timestamp) |
    writeText(bytes, Bit.messageId, head.messageId) |
    (head.correlationId === undefined ? 0 : writeCorrelationId(bytes, head.correlationId)) |
    writeText(bytes, Bit.replyTo, head.replyTo) |
    writeText(bytes, Bit.subject, head.subject) |
    writeGroup(bytes, head) |
    writeText(bytes, Bit.contentType, head.contentType) |
    writeNumber(bytes, Bit.deliverAt, head.deliverAt) |
    writeText(bytes, Bit.contentEncoding, head.contentEncoding) |
    writeText(bytes, Bit.traceparent, head.traceparent) |
    writeText(bytes, Bit.userId, head.userId) |
    (head.retain ? Bit.retain : 0) |
    writeText(bytes, Bit.to, head.to)
  bytes.buffer[at] = bits >> 8
  bytes.buffer[at + 1] = bits
  writeProperties(bytes, head.properties)
}

/** The bit of a field, or 0 if it has nothing to say. */
function writeText(bytes: GrowingBytes, bit: number, text: string | undefined): number {
  if (text === undefined) return 0
  writeString(bytes, text)
  return bit
}

function writeNumber(bytes: GrowingBytes, bit: number, value: number): number {
  if (value <= 0) return 0
  writeVarint(bytes, value)
  return bit
}

function writePriority(bytes: GrowingBytes, priority: number): number {
  writeByte(bytes, priority)
  return Bit.priority
}

function writeCorrelationId(bytes: GrowingBytes, value: Value): number {
  writeValue(bytes, value)
  return Bit.correlationId
}

function writeGroup(bytes: GrowingBytes, { groupId, groupSequence }: SectionHead): number {
  if (groupId === undefined) return 0
  writeString(bytes, groupId)
  writeVarint(bytes, groupSequence)
  return Bit.group
}

function writeProperties(sink: ByteSink, properties: Properties): void {
  if (properties.length === 0) {
    writeByte(sink, 0)
    return
  }
  const bytes = new GrowingBytes()
  writeCount(bytes, properties.length)
  for (const [name, value] of properties) {
    writeString(bytes, name)
    writeValue(bytes, value, 1)
  }
  writeBytes(sink, bytes.bytes)
}

/** What the broker needs of a section, and where its parts are. Reused: {@link read} sets all of it anew. */
export class SectionFacts {
  kind: number
  persistent: boolean
  priority: number
  expiresAt: number
  deliverAt: number
  groupId: string | undefined
  retain: boolean
  to: string | undefined
  bodyStart: number

  constructor() {
    this.kind = Kind.none
    this.persistent = false
    this.priority = priorityNormal
    this.expiresAt = 0
    this.deliverAt = 0
    this.groupId = undefined
    this.retain = false
    this.to = undefined
    this.bodyStart = 0
  }

  /** Reads the section to the end of the cursor, checking its structure. Throws {@link Malformed}. */
  read(cursor: Cursor): void {
    this.kind = readKind(cursor)
    const bits = cursor.u16()
    this.persistent = (bits & Bit.persistent) !== 0
    this.priority = bits & Bit.priority ? readPriority(cursor) : priorityNormal
    this.expiresAt = 0
    this.deliverAt = 0
    this.groupId = undefined
    this.retain = false
    this.to = undefined
    if ((bits & ~(Bit.persistent | Bit.priority)) !== 0) this.#readRest(cursor, bits)
    const propertiesEnd = cursor.length() + cursor.at
    if (propertiesEnd > cursor.at) skipProperties(cursor, propertiesEnd)
    this.bodyStart = cursor.at
  }

  #readRest(cursor: Cursor, bits: number): void {
    if (bits & Bit.expiresAt) this.expiresAt = cursor.varint()
    if (bits & Bit.timestamp) cursor.varint()
    if (bits & Bit.messageId) cursor.skipBlock()
    if (bits & Bit.correlationId) skipValue(cursor)
    if (bits & Bit.replyTo) cursor.skipBlock()
    if (bits & Bit.subject) cursor.skipBlock()
    if (bits & Bit.group) {
      this.groupId = cursor.string()
      cursor.varint()
    }
    if (bits & Bit.contentType) cursor.skipBlock()
    if (bits & Bit.deliverAt) this.deliverAt = cursor.varint()
    if (bits & Bit.contentEncoding) cursor.skipBlock()
    if (bits & Bit.traceparent) cursor.skipBlock()
    if (bits & Bit.userId) cursor.skipBlock()
    this.retain = (bits & Bit.retain) !== 0
    if (bits & Bit.to) this.to = cursor.string()
  }
}

/** Checks a body that is made of values: maps, lists and single values. Throws {@link Malformed}. */
export function checkBody(kind: number, cursor: Cursor): void {
  if (kind === Kind.none) cursor.close()
  else if (kind === Kind.map) skipEntries(cursor)
  else if (kind === Kind.list) skipItems(cursor)
  else if (kind === Kind.value) skipValue(cursor)
  else return
  cursor.close()
}

/** A section read whole; the body is a view. */
export interface Section {
  readonly head: SectionHead
  readonly body: Uint8Array
}

/** Reads everything a section says. Throws {@link Malformed}. */
export function readSection(bytes: Uint8Array, start = 0, end = bytes.length): Section {
  const cursor = new Cursor().set(bytes, start, end)
  const kind = readKind(cursor)
  const bits = cursor.u16()
  if (bits <= Bit.persistent && cursor.left > 0 && bytes[cursor.at] === 0) {
    return { head: plainHeadOf(kind, bits > 0), body: bytes.subarray(cursor.at + 1, end) }
  }
  const head = readHead(cursor, kind, bits)
  return { head, body: bytes.subarray(cursor.at, end) }
}

function readHead(cursor: Cursor, kind: Kind, bits: number): SectionHead {
  const string = (bit: number): string | undefined => (bits & bit ? cursor.string() : undefined)
  const number = (bit: number): number => (bits & bit ? cursor.varint() : 0)
  return {
    kind,
    persistent: (bits & Bit.persistent) !== 0,
    priority: bits & Bit.priority ? readPriority(cursor) : priorityNormal,
    expiresAt: number(Bit.expiresAt),
    timestamp: number(Bit.timestamp),
    messageId: string(Bit.messageId),
    correlationId: bits & Bit.correlationId ? readValue(cursor) : undefined,
    replyTo: string(Bit.replyTo),
    subject: string(Bit.subject),
    groupId: string(Bit.group),
    groupSequence: number(Bit.group),
    contentType: string(Bit.contentType),
    deliverAt: number(Bit.deliverAt),
    contentEncoding: string(Bit.contentEncoding),
    traceparent: string(Bit.traceparent),
    userId: string(Bit.userId),
    retain: (bits & Bit.retain) !== 0,
    to: string(Bit.to),
    properties: readProperties(cursor),
  }
}

function readProperties(cursor: Cursor): Properties {
  const end = cursor.length() + cursor.at
  if (end === cursor.at) return []
  const { end: sectionEnd } = cursor
  cursor.end = end
  const properties = readEntries(cursor)
  cursor.close()
  cursor.end = sectionEnd
  return properties
}

function skipProperties(cursor: Cursor, end: number): void {
  const { end: sectionEnd } = cursor
  cursor.end = end
  skipEntries(cursor)
  cursor.close()
  cursor.end = sectionEnd
}

function readKind(cursor: Cursor): Kind {
  const kind = cursor.byte()
  if (kind > kindMax) throw new Malformed(`no message has the kind ${kind}`)
  return kind as Kind
}

function readPriority(cursor: Cursor): number {
  const priority = cursor.byte()
  if (priority > priorityMax) throw new Malformed(`a priority is 0 to ${priorityMax}, not ${priority}`)
  return priority
}
