/** Messages of this protocol in the canonical form, and those of others as sections. */
import {
  Address,
  type Body,
  BrokerError,
  type ContentFormat,
  type Message,
  type MessageView,
  type Value,
} from '../../src/core.ts'
import { Cursor } from './cursor.ts'
import { varintMax } from './limits.ts'
import { Kind, plainHead, readSection, type SectionHead, writeHead } from './section.ts'
import { readText, textBytes } from './text.ts'
import { readEntries, readItems, readValue, writeCount, writeValue } from './values.ts'
import { GrowingBytes, writeString } from './writer.ts'

const jsonType = 'application/json'

/** The content of messages that were sent as sections: the section itself. */
export class NativeFormat implements ContentFormat {
  readonly name = 'mnp-1'

  view(message: Message): MessageView {
    const { head, body } = readSection(message.content)
    const replyTo = head.replyTo === undefined ? undefined : Address.parse(head.replyTo)
    const isJson = head.kind === Kind.json
    return {
      messageId: head.messageId,
      correlationId: head.correlationId,
      replyTo: replyTo instanceof BrokerError ? undefined : replyTo,
      subject: head.subject,
      contentType: head.contentType ?? (isJson ? jsonType : undefined),
      contentEncoding: head.contentEncoding,
      userId: head.userId,
      properties: head.properties,
      body: bodyOf(head, body),
    }
  }
}

export const nativeFormat = new NativeFormat()

/** The body in the canonical form. What is encoded (`contentEncoding`) is bytes to everybody else. */
function bodyOf({ kind, contentEncoding }: SectionHead, bytes: Uint8Array): Body {
  const isText = kind === Kind.text || kind === Kind.json
  if (contentEncoding !== undefined && isText) return { kind: 'bytes', bytes }
  const cursor = new Cursor(bytes)
  switch (kind) {
    case Kind.none:
      return { kind: 'empty' }
    case Kind.bytes:
      return { kind: 'bytes', bytes }
    case Kind.text:
    case Kind.json:
      return { kind: 'text', text: readText(bytes, 0, bytes.length) }
    case Kind.map:
      return { kind: 'map', entries: readEntries(cursor) }
    case Kind.list:
      return { kind: 'list', items: readItems(cursor) }
    case Kind.value:
      return { kind: 'value', value: readValue(cursor) }
    default:
      return kind satisfies never
  }
}

/** The section of a message of any format: as it came, or encoded from its canonical form. */
export function sectionOf(message: Message): Uint8Array {
  if (message.format instanceof NativeFormat) return message.content
  const view = message.view()
  const bytes = new GrowingBytes(512 + message.bodySize)
  writeHead(bytes, headOf(message, view))
  writeBody(bytes, view.body)
  return bytes.bytes
}

function headOf(message: Message, view: MessageView): SectionHead {
  return {
    ...plainHead,
    kind: kindOf(view.body),
    persistent: message.durable,
    priority: message.priority,
    expiresAt: Math.min(message.expiresAt, varintMax),
    timestamp: Math.min(message.timestamp, varintMax),
    messageId: view.messageId,
    correlationId: view.correlationId,
    replyTo: view.replyTo?.toString(),
    subject: view.subject,
    groupId: message.groupId,
    contentType: view.contentType,
    contentEncoding: view.contentEncoding,
    userId: view.userId,
    retain: message.retain,
    properties: view.properties,
  }
}

function kindOf(body: Body): Kind {
  switch (body.kind) {
    case 'empty':
      return Kind.none
    case 'bytes':
      return Kind.bytes
    case 'text':
      return Kind.text
    case 'list':
      return Kind.list
    case 'map':
      // A map whose keys are not all text is one value.
      return body.entries.every(([key]) => typeof key === 'string') ? Kind.map : Kind.value
    case 'value':
      return Kind.value
    default:
      return body satisfies never
  }
}

function writeBody(bytes: GrowingBytes, body: Body): void {
  switch (body.kind) {
    case 'empty':
      return
    case 'bytes':
      bytes.write(body.bytes)
      return
    case 'text':
      bytes.write(textBytes(body.text))
      return
    case 'list':
      writeCount(bytes, body.items.length)
      for (const item of body.items) writeValue(bytes, item, 1)
      return
    case 'map':
      if (kindOf(body) === Kind.value) writeValue(bytes, { type: 'map', value: body.entries })
      else writeNamed(bytes, body.entries)
      return
    case 'value':
      writeValue(bytes, body.value)
      return
    default:
      body satisfies never
  }
}

function writeNamed(bytes: GrowingBytes, entries: readonly (readonly [Value, Value])[]): void {
  writeCount(bytes, entries.length)
  for (const [name, value] of entries) {
    writeString(bytes, String(name))
    writeValue(bytes, value, 1)
  }
}
