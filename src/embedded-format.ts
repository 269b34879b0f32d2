/**
 * The content of messages that programs send from within the broker's own process.
 *
 *     header block   values (src/value-codec.ts): correlation id, reply-to, subject, content type, content encoding, user id,
 *                    each null if absent; the properties as a map; the kind of the body
 *     body           bytes as they are, text in UTF-8
 */
import { Address } from './address.ts'
import { BrokerError } from './errors.ts'
import { type Body, type ContentFormat, Message, type MessageView } from './message.ts'
import type { Session } from './session.ts'
import { isTyped, type Value } from './value.ts'
import { ValueReader, ValueWriter } from './value-codec.ts'

/** What a program says of a message it sends. */
export interface Draft {
  /** `queue://orders`, `topic://prices.eu`, or an address made before. */
  readonly to: string | Address
  /** Text, bytes, or nothing. */
  readonly body?: string | Uint8Array | undefined
  readonly properties?: Readonly<Record<string, Value>> | undefined
  readonly correlationId?: Value | undefined
  readonly replyTo?: Address | undefined
  readonly subject?: string | undefined
  readonly contentType?: string | undefined
  /** Survives a restart of the broker; false if left out. */
  readonly durable?: boolean | undefined
  /** 0 to 9; 4 if left out. */
  readonly priority?: number | undefined
  /** Milliseconds the message lives. */
  readonly ttlMs?: number | undefined
  /** Milliseconds before it is delivered. */
  readonly delayMs?: number | undefined
  readonly groupId?: string | undefined
  readonly retain?: boolean | undefined
}

class EmbeddedFormat implements ContentFormat {
  readonly name = 'embedded'

  view(message: Message): MessageView {
    const head = new ValueReader(message.content.subarray(0, message.bodyOffset))
    const correlationId = head.read()
    const replyTo = Address.parse(textOf(head.read()) ?? '')
    return {
      messageId: undefined,
      correlationId: correlationId === null ? undefined : correlationId,
      replyTo: replyTo instanceof BrokerError ? undefined : replyTo,
      subject: textOf(head.read()),
      contentType: textOf(head.read()),
      contentEncoding: textOf(head.read()),
      userId: textOf(head.read()),
      properties: propertiesOf(head.read()),
      body: bodyOf(textOf(head.read()), message.content.subarray(message.bodyOffset)),
    }
  }
}

export const embeddedFormat: ContentFormat = new EmbeddedFormat()

/** Makes a message for {@link Session.send}. Throws a BrokerError if the address is wrong. `now` is the broker's time. */
export function draftMessage(draft: Draft, session: Session, now: number): Message {
  const to = typeof draft.to === 'string' ? Address.parse(draft.to) : draft.to
  if (to instanceof BrokerError) throw to
  const { body } = draft
  const isText = typeof body === 'string'
  const bodyBytes = isText ? Buffer.from(body) : (body ?? new Uint8Array(0))
  const head = writeHead(draft, bodyBytes.length === 0 ? 'empty' : isText ? 'text' : 'bytes')
  return new Message({
    address: to,
    format: embeddedFormat,
    content: Buffer.concat([head, bodyBytes]),
    bodyOffset: head.length,
    durable: draft.durable ?? false,
    priority: Math.min(Math.max(Math.trunc(draft.priority ?? 4), 0), 9),
    expiresAt: draft.ttlMs === undefined ? 0 : now + draft.ttlMs,
    deliverAt: draft.delayMs === undefined ? 0 : now + draft.delayMs,
    timestamp: now,
    groupId: draft.groupId,
    retain: draft.retain ?? false,
    source: session.source,
    number: session.source.next(),
    annotations: undefined,
  })
}

function writeHead(draft: Draft, kind: 'empty' | 'text' | 'bytes'): Uint8Array {
  const writer = new ValueWriter()
  writer.write(draft.correlationId ?? null)
  writer.write(draft.replyTo?.toString() ?? null)
  writer.write(draft.subject ?? null)
  writer.write(draft.contentType ?? null)
  writer.write(null)
  writer.write(null)
  writer.write({ type: 'map', value: Object.entries(draft.properties ?? {}) })
  writer.write(kind)
  return writer.bytes
}

function textOf(value: Value): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function propertiesOf(value: Value): MessageView['properties'] {
  if (!isTyped(value) || value.type !== 'map') return []
  return value.value.map(([name, item]) => [String(name), item] as const)
}

function bodyOf(kind: string | undefined, bytes: Uint8Array): Body {
  if (kind === 'empty') return { kind }
  if (kind === 'text') return { kind, text: Buffer.from(bytes).toString() }
  return { kind: 'bytes', bytes }
}
