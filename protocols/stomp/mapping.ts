import { type Address, Message, type Session } from '../../src/core.ts'
import { type StompFormat, serverHeaders } from './content.ts'
import type { Frame } from './frame.ts'
import { Header, type HeaderSet, headerSet, writeHeaders } from './headers.ts'

const lf = 10
const priorityNormal = 4
const priorityMax = 9
/** {@link serverHeaders} and the reply-to, which is written anew when it names a temporary destination of the sender. */
const replacedHeaders: HeaderSet = headerSet(Header.replyTo)
for (const [number, isMember] of serverHeaders.entries()) if (isMember !== 0) replacedHeaders[number] = 1
const noBytes = new Uint8Array(0)

/** What a SEND becomes beside its bytes. */
export interface Envelope {
  readonly address: Address
  readonly format: StompFormat
  /** Milliseconds since the epoch. */
  readonly now: number
  /** The reply-to to write instead of the sender's; undefined to leave that as it is. */
  readonly replyTo: string | undefined
}

/** The message of a SEND frame. Its bytes are copied: user headers in order, as they came, then the body. */
export function toMessage(frame: Frame, session: Session, envelope: Envelope): Message {
  const { now, format, replyTo } = envelope
  const left = replyTo === undefined ? serverHeaders : replacedHeaders
  const added = replyTo === undefined ? noBytes : writeHeaders([['reply-to', replyTo]], format.version)
  const bodyBytes = frame.bodyEnd - frame.bodyStart
  const bodyOffset = frame.headerBytes(left) + added.length + 1
  const content = Buffer.allocUnsafe(bodyOffset + bodyBytes)
  let at = frame.copyHeaders(left, content, 0)
  content.set(added, at)
  at += added.length
  content[at] = lf
  frame.bytes.copy(content, bodyOffset, frame.bodyStart, frame.bodyEnd)
  const delayMs = frame.number(Header.amqScheduledDelay)
  return new Message({
    address: envelope.address,
    format,
    content,
    bodyOffset,
    durable: frame.equals(Header.persistent, 'true'),
    priority: priorityOf(frame),
    expiresAt: numberOr(frame.number(Header.expires), 0),
    deliverAt: delayMs > 0 ? now + delayMs : 0,
    timestamp: now,
    groupId: frame.has(Header.jmsxGroupId) ? frame.text(Header.jmsxGroupId) : undefined,
    retain: frame.equals(Header.retain, 'true'),
    source: session.source,
    number: session.source.next(),
    annotations: undefined,
  })
}

function priorityOf(frame: Frame): number {
  if (!frame.has(Header.priority)) return priorityNormal
  return Math.min(numberOr(frame.number(Header.priority), priorityNormal), priorityMax)
}

function numberOr(value: number, fallback: number): number {
  return Number.isNaN(value) ? fallback : value
}

/** True if a header that switches something on is there and is not `false`. */
export function isOn(frame: Frame, header: (typeof Header)[keyof typeof Header]): boolean {
  return frame.has(header) && !frame.equals(header, 'false')
}
