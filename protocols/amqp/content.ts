/**
 * AMQP messages as content: the annotated message without its header and delivery annotations, byte for byte as it came.
 *
 *     message annotations (if any) | properties | application properties     header block
 *     data, sequence or value sections | footer                              from bodyOffset on
 *
 * A message of another format than 0 is kept as four bytes that name its format, then its bytes as they came.
 */
import {
  type Annotations,
  type Body,
  BrokerError,
  type ContentFormat,
  emptyView,
  isTyped,
  jsonOfValue,
  type Message,
  type MessageView,
  scalar,
  type Value,
} from '../../src/core.ts'
import { readAddress } from './addresses.ts'
import { Cursor, Section } from './frame.ts'
import { Sections } from './sections.ts'
import { ValueReader, ValueWriter } from './values.ts'

const noBytes = Buffer.alloc(0)

/** The fields of the properties section, in order (part 3, section 3.2.4). */
const propertyNames = [
  'messageId',
  'userId',
  'to',
  'subject',
  'replyTo',
  'correlationId',
  'contentType',
  'contentEncoding',
  'absoluteExpiryTime',
  'creationTime',
  'groupId',
] as const

type Properties = { readonly [Name in (typeof propertyNames)[number]]?: Value }

/** The content of messages of format 0. */
class AmqpFormat implements ContentFormat {
  readonly name = 'amqp-1.0'

  view(message: Message): MessageView {
    const bytes = bufferOf(message.content)
    try {
      return viewOf(bytes)
    } catch (error) {
      // Sections are checked at the door, what is in them only now.
      if (!(error instanceof RangeError)) throw error
      return { ...emptyView, body: { kind: 'bytes', bytes: bytes.subarray(message.bodyOffset) } }
    }
  }
}

/** Messages of another format: nobody but their receivers knows what is in them (part 2, section 2.7.5). */
class OpaqueFormat implements ContentFormat {
  readonly name = 'amqp-1.0-opaque'

  view(message: Message): MessageView {
    return { ...emptyView, body: { kind: 'bytes', bytes: message.content.subarray(message.bodyOffset) } }
  }
}

export const amqpFormat: ContentFormat = new AmqpFormat()
export const opaqueFormat: ContentFormat = new OpaqueFormat()

/** Bytes before an opaque message. */
export const opaqueHeadBytes = 4

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function viewOf(bytes: Buffer): MessageView {
  const sections = new Sections()
  const fault = sections.scan(bytes, 0, bytes.length)
  if (fault !== undefined) throw new RangeError(fault)
  const fields: Record<string, Value> = {}
  if (sections.properties >= 0) {
    const items = new ValueReader(bytes, sections.properties).readItems()
    for (const [index, name] of propertyNames.entries()) fields[name] = items[index] ?? null
  }
  const properties = fields as Properties
  const entries =
    sections.applicationProperties < 0 ? [] : new ValueReader(bytes, sections.applicationProperties).readEntries()
  const contentType = textOf(properties.contentType)
  const replyTo = textOf(properties.replyTo)
  const address = replyTo === undefined ? undefined : readAddress(replyTo)
  return {
    messageId: textOf(properties.messageId),
    correlationId: properties.correlationId ?? undefined,
    replyTo: address instanceof BrokerError ? undefined : address,
    subject: textOf(properties.subject),
    contentType,
    contentEncoding: textOf(properties.contentEncoding),
    userId: textOf(properties.userId),
    properties: entries.map(([name, value]) => [textOf(name) ?? '', value] as const),
    body: bodyOf(bytes, sections, contentType),
  }
}

function bodyOf(bytes: Buffer, sections: Sections, contentType: string | undefined): Body {
  switch (sections.bodyKind) {
    case Section.data:
      return dataBody(bytesOfData(bytes, sections), contentType)
    case Section.sequence:
      return { kind: 'list', items: itemsOfSequences(bytes, sections) }
    case Section.value:
      return valueBody(new ValueReader(bytes, valueAt(bytes, sections.bodyStart)).read())
    default:
      return { kind: 'empty' }
  }
}

function dataBody(bytes: Buffer, contentType: string | undefined): Body {
  if (bytes.length === 0) return { kind: 'empty' }
  const text = contentType !== undefined && isTextType(contentType) ? textIn(bytes) : undefined
  return text === undefined ? { kind: 'bytes', bytes } : { kind: 'text', text }
}

function valueBody(value: Value): Body {
  if (value === null) return { kind: 'empty' }
  if (typeof value === 'string') return { kind: 'text', text: value }
  if (value instanceof Uint8Array) return { kind: 'bytes', bytes: value }
  if (isTyped(value) && value.type === 'map') return { kind: 'map', entries: value.value }
  if (isTyped(value) && value.type === 'list') return { kind: 'list', items: value.value }
  return { kind: 'value', value }
}

/** The bytes of all data sections, one after the other: without a copy if there is one. */
function bytesOfData(bytes: Buffer, sections: Sections): Buffer {
  const pieces: Buffer[] = []
  for (const at of bodySections(bytes, sections)) {
    const value = new ValueReader(bytes, at).read()
    if (value instanceof Uint8Array) pieces.push(bufferOf(value))
  }
  return pieces.length === 1 ? (pieces[0] ?? noBytes) : Buffer.concat(pieces)
}

function itemsOfSequences(bytes: Buffer, sections: Sections): Value[] {
  return [...bodySections(bytes, sections)].flatMap((at) => [...new ValueReader(bytes, at).readItems()])
}

/** Where the values of the body's sections begin. */
function* bodySections(bytes: Buffer, sections: Sections): Iterable<number> {
  const cursor = new Cursor(bytes, sections.bodyStart, sections.bodyEnd)
  while (cursor.at < sections.bodyEnd && !cursor.isBroken) {
    cursor.section()
    yield cursor.at
    cursor.skip()
  }
}

function valueAt(bytes: Buffer, sectionAt: number): number {
  const cursor = new Cursor(bytes, sectionAt)
  cursor.section()
  return cursor.at
}

/** The text of a string, or of what has an obvious one: a symbol, a uuid, a number, binary that is UTF-8. */
function textOf(value: Value | undefined): string | undefined {
  if (value === undefined || value === null) return undefined
  const plain = scalar(value)
  if (plain instanceof Uint8Array) return textIn(bufferOf(plain)) ?? Buffer.from(plain).toString('hex')
  return plain === undefined ? undefined : String(plain)
}

function keyText(key: Value): string {
  return textOf(key) ?? 'null'
}

function textIn(bytes: Buffer): string | undefined {
  const text = bytes.toString()
  return text.includes('�') && !Buffer.from(text).equals(bytes) ? undefined : text
}

function isTextType(contentType: string): boolean {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase()
  return type.startsWith('text/') || /^application\/(.+\+)?(json|xml)$/.test(type)
}

/** A message of another format as AMQP clients get it: its canonical form in sections. */
export function encodeView(message: Message): Buffer {
  const view = message.view()
  const writer = new ValueWriter()
  writer.described(Section.properties)
  writer.fields([
    view.messageId ?? message.id,
    view.userId === undefined ? null : Buffer.from(view.userId),
    message.address.toString(),
    view.subject ?? null,
    view.replyTo?.toString() ?? null,
    view.correlationId === undefined ? null : messageIdOf(view.correlationId),
    view.contentType === undefined ? null : { type: 'symbol', value: view.contentType },
    view.contentEncoding === undefined ? null : { type: 'symbol', value: view.contentEncoding },
    message.expiresAt > 0 && message.expiresAt <= Number.MAX_SAFE_INTEGER
      ? { type: 'timestamp', value: message.expiresAt }
      : null,
    { type: 'timestamp', value: message.timestamp },
    message.groupId ?? null,
  ])
  if (view.properties.length > 0) {
    writer.described(Section.applicationProperties)
    writer.map(applicationProperties(view.properties), 'string')
  }
  writeBody(writer, view.body)
  return Buffer.from(writer.bytes)
}

/** Names are used once in a map: the first counts, as for STOMP. Lists and maps are not allowed (part 3, section 3.2.5). */
function applicationProperties(properties: MessageView['properties']): (readonly [string, Value])[] {
  const entries = new Map<string, Value>()
  for (const [name, value] of properties) {
    if (entries.has(name)) continue
    entries.set(name, scalar(value) === undefined ? JSON.stringify(jsonOfValue(value, keyText)) : value)
  }
  return [...entries]
}

/** A message id may be a ulong, a uuid, binary or a string (part 3, section 3.2.11). */
function messageIdOf(value: Value): Value {
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  if (isTyped(value) && (value.type === 'ulong' || value.type === 'uuid')) return value
  return textOf(value) ?? null
}

function writeBody(writer: ValueWriter, body: Body): void {
  switch (body.kind) {
    case 'bytes':
      writer.described(Section.data)
      writer.write(body.bytes)
      return
    case 'text':
      writer.described(Section.value)
      writer.write(body.text)
      return
    case 'empty':
      writer.described(Section.data)
      writer.write(noBytes)
      return
    case 'value':
      writer.described(Section.value)
      writer.write(body.value)
      return
    case 'map':
      writer.described(Section.value)
      writer.write({ type: 'map', value: body.entries })
      return
    case 'list':
      writer.described(Section.value)
      writer.write({ type: 'list', value: body.items })
      return
    default:
      body satisfies never
  }
}

/** A section of message annotations, and where what follows those of the content begins. */
export interface AnnotationSection {
  readonly bytes: Buffer
  readonly contentStart: number
}

/**
 * The message annotations of AMQP content with `added` ones, which replace those of the same name.
 */
export function annotate(content: Buffer, added: readonly (readonly [string, Value])[]): AnnotationSection {
  const sections = new Sections()
  const start = sections.scan(content, 0, content.length) === undefined ? sections.messageAnnotations : -1
  const cursor = new Cursor(content, Math.max(start, 0))
  const entries: (readonly [string, Value])[] = []
  if (start >= 0) {
    const names = new Set(added.map(([name]) => name))
    for (const [key, value] of new ValueReader(content, start).readEntries()) {
      const name = textOf(key) ?? ''
      if (!names.has(name)) entries.push([name, value])
    }
    cursor.skip()
  }
  const writer = new ValueWriter()
  writer.described(Section.messageAnnotations)
  writer.map([...entries, ...added], 'symbol')
  return { bytes: Buffer.from(writer.bytes), contentStart: start < 0 ? 0 : cursor.at }
}

/** What the broker says of a message, under names that the standard leaves to brokers (part 3, section 3.2.10). */
export function annotationEntries(annotations: Annotations): (readonly [string, Value])[] {
  return Object.entries(annotations).map(([name, value]) => [
    `x-opt-${name}`,
    typeof value === 'number' ? BigInt(Math.trunc(value)) : value,
  ])
}
