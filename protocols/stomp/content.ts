/**
 * STOMP messages as content: the sender's header lines as they came, a blank line, the body.
 *
 *     color:blue LF        every header of the SEND frame but those that `server` lists
 *     LF
 *     hello                from bodyOffset on
 */
import {
  type Annotations,
  type Body,
  BrokerError,
  type ContentFormat,
  jsonOfValue,
  type Message,
  type MessageView,
  textOfValue,
  type Value,
} from '../../src/core.ts'
import { readDestination, writeDestination } from './destinations.ts'
import {
  findInvalidUtf8,
  Header,
  type HeaderSet,
  headerSet,
  readHeaders,
  type Version,
  writeHeaders,
} from './headers.ts'

/** Headers that are the server's or the frame's own: what a sender writes there goes no further. */
export const serverHeaders: HeaderSet = headerSet(
  Header.destination,
  Header.contentLength,
  Header.receipt,
  Header.receiptId,
  Header.transaction,
  Header.messageId,
  Header.subscription,
  Header.ack,
  Header.redelivered,
  Header.deliveryCount,
  Header.retained,
  Header.login,
  Header.passcode,
  Header.deadLetterAddress,
  Header.deadLetterSubscription,
  Header.deadLetterReason,
  Header.deadLetterCount,
  Header.deadLetterTime,
)

/** Headers that the canonical form has fields for; they are no properties. */
const fieldNames = new Set(['correlation-id', 'reply-to', 'type', 'content-type', 'content-encoding', 'amq-msg-type'])

const lf = 10
const noBytes = new Uint8Array(0)

/** The content of messages sent by STOMP clients of one version, whose escapes the header lines have. */
export class StompFormat implements ContentFormat {
  readonly name: string
  readonly version: Version

  constructor(version: Version) {
    this.name = `stomp-${version}`
    this.version = version
  }

  view(message: Message): MessageView {
    const { content, bodyOffset } = message
    const fields = new Map<string, string>()
    const properties: (readonly [string, Value])[] = []
    for (const [name, value] of readHeaders(content.subarray(0, bodyOffset - 1), this.version)) {
      if (!fieldNames.has(name)) properties.push([name, value])
      else if (!fields.has(name)) fields.set(name, value)
    }
    const replyTo = fields.get('reply-to')
    const address = replyTo === undefined ? undefined : readDestination(replyTo)
    return {
      messageId: undefined,
      correlationId: fields.get('correlation-id'),
      replyTo: address instanceof BrokerError ? undefined : address,
      subject: fields.get('type'),
      contentType: fields.get('content-type'),
      contentEncoding: fields.get('content-encoding'),
      userId: undefined,
      properties,
      body: bodyOf(content.subarray(bodyOffset), fields.get('content-type'), fields.get('amq-msg-type')),
    }
  }
}

/**
 * Text or bytes: `amq-msg-type` decides if it is there, then a content type that is known to be one of them; what says neither
 * is text if it is valid UTF-8. A content-length alone says nothing.
 */
function bodyOf(bytes: Uint8Array, contentType: string | undefined, messageType: string | undefined): Body {
  if (bytes.length === 0) return { kind: 'empty' }
  const isText =
    messageType === 'text' || (messageType !== 'bytes' && contentType !== undefined && isTextType(contentType))
  const isBytes = messageType === 'bytes' || (!isText && contentType?.startsWith('application/octet-stream'))
  if (isBytes || findInvalidUtf8(bytes, 0, bytes.length) >= 0) return { kind: 'bytes', bytes }
  return { kind: 'text', text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString() }
}

function isTextType(contentType: string): boolean {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase()
  return type.startsWith('text/') || /^application\/(.+\+)?(json|xml)$/.test(type)
}

/** The content format of each version's messages. */
export const stompFormats: Readonly<Record<Version, StompFormat>> = {
  '1.0': new StompFormat('1.0'),
  '1.1': new StompFormat('1.1'),
  '1.2': new StompFormat('1.2'),
}

/** A message of another format as a STOMP client gets it. */
export interface Encoded {
  /** Header lines and the blank line. */
  readonly head: Uint8Array
  readonly body: Uint8Array
}

/** Encodes a canonical form: properties become headers, their values text; binary values become base64. */
export function encodeView(message: Message, version: Version): Encoded {
  const view = message.view()
  const headers: [string, string][] = []
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) headers.push([name, value])
  }
  add('correlation-id', view.correlationId === undefined ? undefined : textOfValue(view.correlationId))
  add('reply-to', view.replyTo === undefined ? undefined : writeDestination(view.replyTo))
  add('type', view.subject)
  add('content-type', view.contentType)
  add('content-encoding', view.contentEncoding)
  if (message.priority !== 4) add('priority', String(message.priority))
  if (message.durable) add('persistent', 'true')
  if (message.expiresAt > 0) add('expires', String(message.expiresAt))
  add('JMSXGroupID', message.groupId)
  for (const [name, value] of view.properties) if (name !== '') add(name, textOfValue(value))
  if (view.body.kind === 'bytes' && view.contentType === undefined) add('content-type', 'application/octet-stream')
  const block = writeHeaders(headers, version)
  const head = new Uint8Array(block.length + 1)
  head.set(block)
  head[block.length] = lf
  return { head, body: bytesOf(view.body) }
}

/** What the broker says of a message, as header lines. */
export function encodeAnnotations(annotations: Annotations, version: Version): Uint8Array {
  const headers = Object.entries(annotations).map(([name, value]) => [name, String(value)] as const)
  return writeHeaders(headers, version)
}

function bytesOf(body: Body): Uint8Array {
  switch (body.kind) {
    case 'bytes':
      return body.bytes
    case 'text':
      return Buffer.from(body.text)
    case 'empty':
      return noBytes
    case 'value':
      return Buffer.from(textOfValue(body.value))
    case 'map':
      return Buffer.from(JSON.stringify(jsonOfValue({ type: 'map', value: body.entries })))
    case 'list':
      return Buffer.from(JSON.stringify(jsonOfValue({ type: 'list', value: body.items })))
    default:
      return body satisfies never
  }
}
