import { Command, commandNames, isConnecting } from './frame.ts'
import type { Version } from './headers.ts'
import { escapeHeader, writeHeaders } from './headers.ts'

/**
 * Where frames are written: `buffer` from `position`, after {@link reserve}. `write` takes long bytes without a copy, so they
 * must not change any more. src/transport/output.ts is one.
 */
export interface ByteSink {
  buffer: Buffer
  position: number
  reserve(bytes: number): void
  write(bytes: Uint8Array): void
}

/** Bytes at least this long go through {@link ByteSink.write}; shorter ones are copied behind their head. */
const copyBytesMax = 8 * 1024
/** Digits of the longest number written. */
const digitsMax = 16

const nul = 0
const lf = 10
const zero = 48

const contentLengthLine = Buffer.from('content-length:')
const messageIdLine = Buffer.from('message-id:')
const ackLine = Buffer.from('ack:')
const receiptLine = Buffer.from('receipt:')
const redeliveredLine = Buffer.from('redelivered:true\n')
const receiptHead = Buffer.from('RECEIPT\nreceipt-id:')
const fixedMessageBytes =
  messageIdLine.length + ackLine.length + redeliveredLine.length + contentLengthLine.length + 3 * (digitsMax + 1) + 3

export type HeaderPairs = readonly (readonly [name: string, value: string])[]

/**
 * One delivery, for {@link writeMessage}. Meant to be reused: set all fields, write, set them again.
 *
 * `content` is header lines, each with its LF, a blank line, and the body. It must have none of the headers that the broker
 * writes before it. All its bytes, and those of the other fields, are already encoded for the receiver's version.
 */
export class OutgoingMessage {
  /** The message id up to its number, without line break. */
  idPrefix: Uint8Array
  /** The number that ends the message id. */
  number: number
  /** The value of the ack header, 1.2 only; 0 for none. */
  ack: number
  redelivered: boolean
  /** More header lines of the broker, each with its LF; empty for none. */
  extra: Uint8Array
  content: Uint8Array
  /** Where the body starts in `content`, after the blank line. */
  bodyOffset: number
  /** What the receiver gets instead of `content` before `bodyOffset`, blank line included; undefined if that itself. */
  head: Uint8Array | undefined

  constructor() {
    const noBytes = Buffer.alloc(0)
    this.idPrefix = noBytes
    this.number = 0
    this.ack = 0
    this.redelivered = false
    this.extra = noBytes
    this.content = noBytes
    this.bodyOffset = 0
    this.head = undefined
  }
}

/**
 * The start of every MESSAGE of a subscription, for {@link writeMessage}: command, subscription and, unless it differs by
 * message, destination.
 */
export function messagePrefix(
  version: Version,
  subscription: string | undefined,
  destination: string | undefined,
): Buffer {
  const headers: (readonly [string, string])[] = []
  if (subscription !== undefined) headers.push(['subscription', subscription])
  if (destination !== undefined) headers.push(['destination', destination])
  return Buffer.concat([Buffer.from('MESSAGE\n'), writeHeaders(headers, version)])
}

/**
 * Writes a MESSAGE: `prefix`, what the broker says, then the content in one copy. The broker's headers come first, so that
 * for every receiver they count and not what a sender may have written ("Repeated Header Entries").
 */
export function writeMessage(sink: ByteSink, prefix: Uint8Array, message: OutgoingMessage): void {
  const { idPrefix, extra, content, head } = message
  const headBytes = prefix.length + idPrefix.length + extra.length + fixedMessageBytes
  const bodyBytes = content.length - message.bodyOffset
  const isShort = head === undefined && content.length < copyBytesMax
  sink.reserve(isShort ? headBytes + content.length : headBytes)
  const buffer = sink.buffer
  let at = copy(buffer, sink.position, prefix)
  at = copy(buffer, at, messageIdLine)
  at = copy(buffer, at, idPrefix)
  at = putNumber(buffer, at, message.number)
  buffer[at++] = lf
  if (message.ack !== 0) {
    at = copy(buffer, at, ackLine)
    at = putNumber(buffer, at, message.ack)
    buffer[at++] = lf
  }
  if (message.redelivered) at = copy(buffer, at, redeliveredLine)
  if (extra.length > 0) at = copy(buffer, at, extra)
  at = copy(buffer, at, contentLengthLine)
  at = putNumber(buffer, at, bodyBytes)
  buffer[at++] = lf
  if (isShort) {
    buffer.set(content, at)
    at += content.length
    buffer[at++] = nul
    buffer[at++] = lf
    sink.position = at
    return
  }
  sink.position = at
  if (head === undefined) sink.write(content)
  else {
    sink.write(head)
    sink.write(content.subarray(message.bodyOffset))
  }
  writeEnd(sink, true)
}

/** Writes a RECEIPT that echoes the raw value of a receipt header, which is bytes `start` to `end` of `raw`. */
export function writeReceipt(sink: ByteSink, raw: Uint8Array, start = 0, end: number = raw.length): void {
  sink.reserve(receiptHead.length + end - start + 4)
  const buffer = sink.buffer
  let at = copyRange(buffer, copy(buffer, sink.position, receiptHead), raw, start, end)
  buffer[at++] = lf
  buffer[at++] = lf
  buffer[at++] = nul
  buffer[at++] = lf
  sink.position = at
}

/**
 * Writes any frame, escaping names and values for `version`; those of CONNECT, STOMP and CONNECTED are not escaped, and what
 * would break their lines becomes a space ("Value Encoding"). A content-length is written if there is a body. Names must not
 * be empty. For frames that are not sent per message.
 */
export function writeFrame(
  sink: ByteSink,
  command: Command,
  headers: HeaderPairs,
  version: Version,
  body?: Uint8Array,
): void {
  const escapes = isConnecting(command) ? '1.0' : version
  let head = `${commandNames.names[command]}\n`
  for (const [name, value] of headers) head += headerLine(name, value, escapes)
  if (body !== undefined && body.length > 0) head += `content-length:${body.length}\n`
  head += '\n'
  const headBytes = Buffer.byteLength(head)
  sink.reserve(headBytes)
  sink.buffer.write(head, sink.position)
  sink.position += headBytes
  if (body !== undefined && body.length > 0) sink.write(body)
  writeEnd(sink, command >= Command.connected)
}

function headerLine(name: string, value: string, version: Version): string {
  return `${escapeHeader(name, version, 'name')}:${escapeHeader(value, version)}\n`
}

/** Writes a CONNECTED; `headers` should start with version. */
export function writeConnected(sink: ByteSink, headers: HeaderPairs): void {
  writeFrame(sink, Command.connected, headers, '1.0')
}

const errorType = ['content-type', 'text/plain;charset=utf-8'] as const

/**
 * Writes an ERROR with a text body, if there is one; the connection must be closed after it. The charset is named because
 * stompit 1.0.0 ends its process, by an error event that it leaves to nobody, on a short body of exactly `text/plain`.
 */
export function writeError(sink: ByteSink, headers: HeaderPairs, version: Version, text = ''): void {
  if (text === '') writeFrame(sink, Command.error, headers, version)
  else writeFrame(sink, Command.error, [...headers, errorType], version, Buffer.from(text))
}

/** Writes the end-of-line that is a heart-beat. */
export function writeHeartBeat(sink: ByteSink): void {
  sink.reserve(1)
  sink.buffer[sink.position] = lf
  sink.position += 1
}

/** Writes a client's CONNECT; `headers` should have accept-version and host. */
export function writeConnect(sink: ByteSink, headers: HeaderPairs): void {
  writeFrame(sink, Command.connect, headers, '1.0')
}

/** The start of a client's frames of one kind, for {@link writeSend} and {@link writeAck}: command and header lines. */
export function frameHead(command: Command, headers: HeaderPairs, version: Version): Buffer {
  return Buffer.concat([Buffer.from(`${commandNames.names[command]}\n`), writeHeaders(headers, version)])
}

/** Writes a client's SEND: `head` of {@link frameHead}, a receipt number unless it is 0, content-length and body. */
export function writeSend(sink: ByteSink, head: Uint8Array, receipt: number, body: Uint8Array): void {
  const isShort = body.length < copyBytesMax
  const headBytes = head.length + receiptLine.length + contentLengthLine.length + 2 * (digitsMax + 1) + 2
  sink.reserve(isShort ? headBytes + body.length : headBytes)
  const buffer = sink.buffer
  let at = copy(buffer, sink.position, head)
  if (receipt !== 0) {
    at = copy(buffer, at, receiptLine)
    at = putNumber(buffer, at, receipt)
    buffer[at++] = lf
  }
  at = copy(buffer, at, contentLengthLine)
  at = putNumber(buffer, at, body.length)
  buffer[at++] = lf
  buffer[at++] = lf
  if (isShort) {
    buffer.set(body, at)
    at += body.length
    buffer[at++] = nul
    sink.position = at
    return
  }
  sink.position = at
  sink.write(body)
  writeEnd(sink, false)
}

/** Writes a client's SUBSCRIBE. */
export function writeSubscribe(sink: ByteSink, headers: HeaderPairs, version: Version): void {
  writeFrame(sink, Command.subscribe, headers, version)
}

/**
 * Writes a client's ACK or NACK. `head` is command and header lines up to the id, such as `ACK\nid:`; the id is bytes `start`
 * to `end` of `raw`, as they came in the MESSAGE.
 */
export function writeAck(sink: ByteSink, head: Uint8Array, raw: Uint8Array, start = 0, end: number = raw.length): void {
  sink.reserve(head.length + end - start + 3)
  const buffer = sink.buffer
  let at = copyRange(buffer, copy(buffer, sink.position, head), raw, start, end)
  buffer[at++] = lf
  buffer[at++] = lf
  buffer[at++] = nul
  sink.position = at
}

/** Writes a client's BEGIN, COMMIT or ABORT. */
export function writeTransaction(sink: ByteSink, command: Command, transaction: string, version: Version): void {
  writeFrame(sink, command, [['transaction', transaction]], version)
}

/**
 * Ends a frame: NUL, and after a server's frame an end-of-line as ActiveMQ and RabbitMQ send it, since some old clients read
 * up to it and all others must skip it ("STOMP Frames").
 */
function writeEnd(sink: ByteSink, withLine: boolean): void {
  sink.reserve(2)
  sink.buffer[sink.position] = nul
  sink.buffer[sink.position + 1] = lf
  sink.position += withLine ? 2 : 1
}

/** Short copies: a loop is faster than a call up to some dozen bytes. */
const loopBytesMax = 32

function copy(buffer: Buffer, position: number, bytes: Uint8Array): number {
  const length = bytes.length
  if (length > loopBytesMax) buffer.set(bytes, position)
  else for (let from = 0; from < length; from++) buffer[position + from] = bytes[from] as number
  return position + length
}

function copyRange(buffer: Buffer, position: number, bytes: Uint8Array, start: number, end: number): number {
  let at = position
  for (let from = start; from < end; from++) buffer[at++] = bytes[from] as number
  return at
}

/** Writes a non-negative integer up to 2^53 - 1 in decimal digits. Returns where the next byte goes. */
function putNumber(buffer: Buffer, position: number, value: number): number {
  let at = position
  let low = value
  if (value >= 1_000_000_000) {
    // The digits above the last nine; what is left fits the integers a processor divides quickly.
    const high = Math.floor(value / 1_000_000_000)
    low = value - high * 1_000_000_000
    at = putNumber(buffer, at, high)
    for (let power = 100_000_000; power > low && power > 1; power = (power / 10) | 0) buffer[at++] = zero
  }
  let end = at + 1
  for (let rest = (low / 10) | 0; rest > 0; rest = (rest / 10) | 0) end += 1
  for (let to = end - 1, rest = low; to >= at; to--) {
    const next = (rest / 10) | 0
    buffer[to] = zero + rest - next * 10
    rest = next
  }
  return end
}
