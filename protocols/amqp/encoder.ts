import { Code, Performative, Section, State } from './frame.ts'

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
const frameHeadBytes = 8
/** Frame head, descriptor, list head, and every field of a transfer at its longest. */
const transferBytesMax = 48
/** A header section at its longest. */
const headerBytesMax = 32
const noBytes = new Uint8Array(0)

const acceptedBytes = Buffer.from([Code.described, Code.smallUlong, State.accepted, Code.list0])

/** The bytes of the state `accepted`. */
export const acceptedState: Uint8Array = acceptedBytes

/**
 * One delivery on its way out. Meant to be used again: set all fields, {@link writeTransfer}, set them again.
 */
export class OutgoingTransfer {
  channel = 0
  handle = 0
  deliveryId = 0
  settled = false
  messageFormat = 0
  /** True: a header section goes first, from the five fields below. */
  hasHeader = false
  durable = false
  priority = 4
  /** Milliseconds it has left to live; negative: no end. */
  ttlMs = -1
  firstAcquirer = false
  deliveryCount = 0
  /** A section of message annotations instead of the content's own; empty for none. */
  annotations: Uint8Array = noBytes
  content: Uint8Array = noBytes
  /** Where in `content` to begin. */
  contentStart = 0
}

/**
 * Writes a whole delivery that fits one frame of `frameBytesMax`. False: it does not fit, and nothing is written.
 */
export function writeTransfer(sink: ByteSink, transfer: OutgoingTransfer, frameBytesMax: number): boolean {
  const { content, contentStart, annotations } = transfer
  const tailBytes = content.length - contentStart + annotations.length
  const mostBytes = transferBytesMax + headerBytesMax + tailBytes
  if (mostBytes > frameBytesMax) return false
  const isShort = tailBytes < copyBytesMax
  sink.reserve(isShort ? mostBytes : mostBytes - tailBytes)
  const { buffer, position: start } = sink
  let at = putTransfer(buffer, start, transfer, true, false)
  if (transfer.hasHeader) at = putHeader(buffer, at, transfer)
  putFrameHead(buffer, start, at - start + tailBytes, transfer.channel)
  if (isShort) {
    if (annotations.length > 0) {
      buffer.set(annotations, at)
      at += annotations.length
    }
    if (contentStart === 0) buffer.set(content, at)
    else buffer.set(content.subarray(contentStart), at)
    sink.position = at + content.length - contentStart
    return true
  }
  sink.position = at
  if (annotations.length > 0) sink.write(annotations)
  sink.write(contentStart === 0 ? content : content.subarray(contentStart))
  return true
}

/** What a delivery of several frames carries; neither part must change any more. */
export interface Payload {
  /** Header and annotations. */
  readonly head: Buffer
  readonly content: Uint8Array
  readonly bytes: number
}

export function payloadOf(transfer: OutgoingTransfer): Payload {
  const header = Buffer.alloc(transfer.hasHeader ? headerBytesMax : 0)
  const headerBytes = transfer.hasHeader ? putHeader(header, 0, transfer) : 0
  const head = Buffer.concat([header.subarray(0, headerBytes), transfer.annotations])
  const content = transfer.content.subarray(transfer.contentStart)
  return { head, content, bytes: head.length + content.length }
}

/**
 * Writes one frame of a delivery that takes several: `payload` from `from` on, as much as fits. Returns where the next frame
 * begins.
 */
export function writePart(
  sink: ByteSink,
  transfer: OutgoingTransfer,
  payload: Payload,
  from: number,
  frameBytesMax: number,
): number {
  const { head, content, bytes } = payload
  const to = Math.min(bytes, from + frameBytesMax - transferBytesMax)
  sink.reserve(transferBytesMax)
  const { buffer, position: start } = sink
  const at = putTransfer(buffer, start, transfer, from === 0, to < bytes)
  putFrameHead(buffer, start, at - start + to - from, transfer.channel)
  sink.position = at
  if (from < head.length) sink.write(head.subarray(from, Math.min(to, head.length)))
  if (to > head.length) sink.write(content.subarray(Math.max(from - head.length, 0), to - head.length))
  return to
}

/** The tag of a delivery that we send: its id in four bytes, here as characters. */
export function tagOfId(id: number): string {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(id, 0)
  return bytes.toString('latin1')
}

/** A disposition of deliveries `first` to `last`. `role` true: as the receiver of them. */
export function writeDisposition(
  sink: ByteSink,
  channel: number,
  role: boolean,
  range: { readonly first: number; readonly last: number },
  settled: boolean,
  state: Uint8Array,
): void {
  sink.reserve(32 + state.length)
  const { buffer, position: start } = sink
  let at = putPerformative(buffer, start, Performative.disposition)
  const listAt = at
  at = skipListHead(buffer, at, state.length > 200)
  buffer[at++] = role ? Code.true : Code.false
  at = putUint(buffer, at, range.first)
  at = range.first === range.last ? putNull(buffer, at) : putUint(buffer, at, range.last)
  buffer[at++] = settled ? Code.true : Code.false
  buffer.set(state, at)
  at += state.length
  putListHead(buffer, listAt, at, state.length > 0 ? 5 : 4, state.length > 200)
  putFrameHead(buffer, start, at - start, channel)
  sink.position = at
}

/** The numbers of a flow; `handle` -1: of the session alone. */
export interface FlowState {
  readonly nextIncomingId: number
  readonly incomingWindow: number
  readonly nextOutgoingId: number
  readonly outgoingWindow: number
  readonly handle: number
  readonly deliveryCount: number
  readonly linkCredit: number
  readonly drain: boolean
}

export function writeFlow(sink: ByteSink, channel: number, flow: FlowState): void {
  sink.reserve(64)
  const { buffer, position: start } = sink
  let at = putPerformative(buffer, start, Performative.flow)
  const listAt = at
  at = skipListHead(buffer, at, false)
  at = putUint(buffer, at, flow.nextIncomingId)
  at = putUint(buffer, at, flow.incomingWindow)
  at = putUint(buffer, at, flow.nextOutgoingId)
  at = putUint(buffer, at, flow.outgoingWindow)
  let count = 4
  if (flow.handle >= 0) {
    at = putUint(buffer, at, flow.handle)
    at = putUint(buffer, at, flow.deliveryCount)
    at = putUint(buffer, at, flow.linkCredit)
    at = putNull(buffer, at)
    buffer[at++] = flow.drain ? Code.true : Code.false
    count = 9
  }
  putListHead(buffer, listAt, at, count, false)
  putFrameHead(buffer, start, at - start, channel)
  sink.position = at
}

/** A frame without a body: the peer may count on us (part 2, section 2.4.5). */
export function writeEmptyFrame(sink: ByteSink): void {
  sink.reserve(frameHeadBytes)
  putFrameHead(sink.buffer, sink.position, frameHeadBytes, 0)
  sink.position += frameHeadBytes
}

function putTransfer(buffer: Buffer, start: number, transfer: OutgoingTransfer, first: boolean, more: boolean): number {
  let at = putPerformative(buffer, start, Performative.transfer)
  const listAt = at
  at = skipListHead(buffer, at, false)
  at = putUint(buffer, at, transfer.handle)
  if (first) {
    const id = transfer.deliveryId
    at = putUint(buffer, at, id)
    buffer[at++] = Code.binary8
    buffer[at++] = 4
    at = buffer.writeUInt32BE(id, at)
    at = putUint(buffer, at, transfer.messageFormat)
    buffer[at++] = transfer.settled ? Code.true : Code.false
  } else {
    for (let field = 0; field < 4; field += 1) at = putNull(buffer, at)
  }
  if (more || !first) buffer[at++] = more ? Code.true : Code.false
  putListHead(buffer, listAt, at, more || !first ? 6 : 5, false)
  return at
}

/** The header section (part 3, section 3.2.1); what is as by default at its end is left out. */
function putHeader(buffer: Buffer, start: number, transfer: OutgoingTransfer): number {
  let at = start
  buffer[at++] = Code.described
  buffer[at++] = Code.smallUlong
  buffer[at++] = Section.header
  const listAt = at
  at = skipListHead(buffer, at, false)
  buffer[at++] = transfer.durable ? Code.true : Code.false
  buffer[at++] = Code.ubyte
  buffer[at++] = transfer.priority
  at = transfer.ttlMs < 0 ? putNull(buffer, at) : putUint(buffer, at, transfer.ttlMs)
  buffer[at++] = transfer.firstAcquirer ? Code.true : Code.false
  at = putUint(buffer, at, transfer.deliveryCount)
  putListHead(buffer, listAt, at, 5, false)
  return at
}

function putPerformative(buffer: Buffer, start: number, code: number): number {
  const at = start + frameHeadBytes
  buffer[at] = Code.described
  buffer[at + 1] = Code.smallUlong
  buffer[at + 2] = code
  return at + 3
}

function skipListHead(buffer: Buffer, at: number, isLong: boolean): number {
  buffer[at] = isLong ? Code.list32 : Code.list8
  return at + (isLong ? 9 : 3)
}

function putListHead(buffer: Buffer, listAt: number, end: number, count: number, isLong: boolean): void {
  if (isLong) {
    buffer.writeUInt32BE(end - listAt - 5, listAt + 1)
    buffer.writeUInt32BE(count, listAt + 5)
  } else {
    buffer[listAt + 1] = end - listAt - 2
    buffer[listAt + 2] = count
  }
}

function putFrameHead(buffer: Buffer, start: number, size: number, channel: number): void {
  buffer.writeUInt32BE(size, start)
  buffer[start + 4] = 2
  buffer[start + 5] = 0
  buffer[start + 6] = channel >> 8
  buffer[start + 7] = channel & 255
}

function putNull(buffer: Buffer, at: number): number {
  buffer[at] = Code.null
  return at + 1
}

function putUint(buffer: Buffer, at: number, value: number): number {
  if (value === 0) {
    buffer[at] = Code.uint0
    return at + 1
  }
  if (value < 256) {
    buffer[at] = Code.smallUint
    buffer[at + 1] = value
    return at + 2
  }
  buffer[at] = Code.uint
  return buffer.writeUInt32BE(value, at + 1)
}
