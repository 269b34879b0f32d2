/** Frames as both sides write them. Every function leaves one whole frame in the sink, but for those of sections in parts. */
import type { Value } from '../../src/core.ts'
import { Flag, FrameType, frameHeadBytes, OutcomeCode } from './frame.ts'
import { textBytesMax } from './text.ts'
import { writeCount, writeValue } from './values.ts'
import {
  type ByteSink,
  beginFrame,
  endFrame,
  GrowingBytes,
  putVarint,
  writeByte,
  writeString,
  writeU16,
  writeVarint,
} from './writer.ts'

/** Named values of a frame: what is undefined is left out. */
export type Fields = Readonly<Record<string, Value | undefined>>

/** Bodies at least this long are handed over as they are instead of being copied. */
const copyBytesMax = 8 * 1024
/** The fixed parts of the longest head: frame head, four numbers, a byte. */
export const headBytesMax = frameHeadBytes + 4 * 8 + 1

/** A refused send, as ACCEPTED lists it. */
export interface Rejection {
  readonly seq: number
  readonly code: number
  readonly name: string
  readonly text: string
  readonly retryable: boolean
}

export type ErrorFields = Omit<Rejection, 'seq'>

/** Outcome of the deliveries `from` to `to`. */
export interface Settlement {
  readonly link: number
  readonly outcome: number
  readonly ranges: readonly (readonly [from: number, to: number])[]
  /** Milliseconds until the next delivery of what has failed; undefined: as the broker has it. */
  readonly delayMs: number | undefined
  readonly reason: string | undefined
}

/** A frame of one map: HELLO, WELCOME. */
export function writeMapFrame(sink: ByteSink, type: number, fields: Fields): void {
  new FrameDraft(type).fields(fields).end(sink)
}

/** PING and PONG. */
export function writeNonce(sink: ByteSink, type: number, nonce: number): void {
  new FrameDraft(type).number(nonce).end(sink)
}

/** BYE: why the connection ends; code 0 if all is well. */
export function writeBye(sink: ByteSink, error: ErrorFields | undefined): void {
  new FrameDraft(FrameType.bye).error(error).end(sink)
}

export function writeOk(sink: ByteSink, corr: number, fields: Fields): void {
  new FrameDraft(FrameType.ok).number(corr).fields(fields).end(sink)
}

export function writeError(sink: ByteSink, corr: number, error: ErrorFields): void {
  new FrameDraft(FrameType.error).number(corr).error(error).end(sink)
}

/** PRODUCER and CONSUMER: opens a link. */
export function writeOpen(sink: ByteSink, type: number, corr: number, link: number, fields: Fields): void {
  new FrameDraft(type, corr).number(link).fields(fields).end(sink)
}

export function writeCloseLink(sink: ByteSink, corr: number, link: number, error: ErrorFields | undefined): void {
  new FrameDraft(FrameType.closeLink, corr).number(link).error(error).end(sink)
}

export function writeAccepted(sink: ByteSink, link: number, upTo: number, rejections: readonly Rejection[]): void {
  sink.reserve(headBytesMax)
  if (rejections.length === 0) {
    const start = sink.position
    beginFrame(sink, FrameType.accepted, 0)
    let at = putVarint(sink.buffer, sink.position, link)
    at = putVarint(sink.buffer, at, upTo)
    sink.buffer[at] = 0
    sink.position = at + 1
    endFrame(sink, start)
    return
  }
  const frame = new FrameDraft(FrameType.accepted).number(link).number(upTo).number(rejections.length)
  for (const rejection of rejections) frame.number(rejection.seq).error(rejection)
  frame.end(sink)
}

/** A frame that grants credit to a producer or a consumer; `drain`: what is there now comes, and then a DRAINED. */
export function writeCredit(sink: ByteSink, link: number, messages: number, bytes: number, drain = false): void {
  sink.reserve(headBytesMax)
  const start = sink.position
  beginFrame(sink, FrameType.credit, 0)
  let at = putVarint(sink.buffer, sink.position, link)
  at = putVarint(sink.buffer, at, messages)
  at = putVarint(sink.buffer, at, bytes)
  sink.buffer[at] = drain ? 1 : 0
  sink.position = at + 1
  endFrame(sink, start)
}

/** The credit of a link is used up: all that there was has come, and so many messages would still have fitted. */
export function writeDrained(sink: ByteSink, link: number, unused: number): void {
  new FrameDraft(FrameType.drained).number(link).number(unused).end(sink)
}

export function writeSettle(sink: ByteSink, settlement: Settlement, corr: number, transaction: number): void {
  const { link, outcome, ranges, delayMs, reason } = settlement
  sink.reserve(headBytesMax + 24 + ranges.length * 16 + textBytesMax(reason ?? '') + 8)
  const start = sink.position
  const flags = (corr === 0 ? 0 : Flag.reply) | (transaction === 0 ? 0 : Flag.transaction)
  beginFrame(sink, FrameType.settle, flags)
  const { buffer } = sink
  let at = sink.position
  if (corr !== 0) at = putVarint(buffer, at, corr)
  if (transaction !== 0) at = putVarint(buffer, at, transaction)
  at = putVarint(buffer, at, link)
  buffer[at] = outcome
  at = putVarint(buffer, at + 1, ranges.length)
  for (const [from, to] of ranges) {
    at = putVarint(buffer, at, from)
    at = putVarint(buffer, at, to - from)
  }
  sink.position = at
  // There is room for both, so that the frame stays in one piece.
  if (outcome === OutcomeCode.fail) writeVarint(sink, delayMs === undefined ? 0 : delayMs + 1)
  if (outcome === OutcomeCode.reject) writeString(sink, reason ?? '')
  endFrame(sink, start)
}

export function writeTransactionEnd(sink: ByteSink, corr: number, transaction: number, how: number): void {
  new FrameDraft(FrameType.transactionEnd, corr).number(transaction).number(how).end(sink)
}

export function writeDestination(sink: ByteSink, corr: number, fields: Fields): void {
  new FrameDraft(FrameType.destination, corr).fields(fields).end(sink)
}

/**
 * A SEND or DELIVER whose `head`, from `headStart` on, comes before the section; the section is `section`. What does not fit
 * into one frame goes on in PART frames.
 */
export function writeInParts(
  sink: ByteSink,
  frame: { readonly type: number; readonly flags: number; readonly link: number; readonly head: Uint8Array },
  section: Uint8Array,
  frameBytesMax: number,
): void {
  const { type, flags, link, head } = frame
  const room = frameBytesMax - headBytesMax
  const first = Math.min(section.length, room - head.length)
  writeSlice(sink, type, first < section.length ? flags | Flag.more : flags, head, section.subarray(0, first))
  const linkBytes = new Uint8Array(8)
  const prefix = linkBytes.subarray(0, putVarint(linkBytes, 0, link))
  for (let at = first; at < section.length; ) {
    const end = Math.min(section.length, at + room)
    writeSlice(sink, FrameType.part, end < section.length ? Flag.more : 0, prefix, section.subarray(at, end))
    at = end
  }
}

function writeSlice(sink: ByteSink, type: number, flags: number, head: Uint8Array, body: Uint8Array): void {
  const isCopied = body.length < copyBytesMax
  sink.reserve(frameHeadBytes + head.length + (isCopied ? body.length : 0))
  const start = sink.position
  beginFrame(sink, type, flags)
  sink.buffer.set(head, sink.position)
  sink.position += head.length
  endFrame(sink, start, body.length)
  sink.write(body)
}

/** A frame that is rare and so may be put together on the side. With a number an answer is wanted. */
class FrameDraft {
  readonly #bytes: GrowingBytes

  constructor(type: number, corr = 0) {
    this.#bytes = new GrowingBytes()
    beginFrame(this.#bytes, type, corr === 0 ? 0 : Flag.reply)
    if (corr !== 0) this.number(corr)
  }

  number(value: number): this {
    writeVarint(this.#bytes, value)
    return this
  }

  fields(fields: Fields): this {
    const given = Object.entries(fields).filter(([, value]) => value !== undefined)
    writeCount(this.#bytes, given.length)
    for (const [name, value = null] of given) {
      writeString(this.#bytes, name)
      writeValue(this.#bytes, value, 1)
    }
    return this
  }

  /** Code 0 and no more if there is none. */
  error(error: ErrorFields | undefined): this {
    writeU16(this.#bytes, error?.code ?? 0)
    if (error === undefined) return this
    writeString(this.#bytes, error.name)
    writeString(this.#bytes, error.text)
    writeByte(this.#bytes, error.retryable ? 1 : 0)
    return this
  }

  end(sink: ByteSink): void {
    endFrame(this.#bytes, 0)
    sink.write(this.#bytes.bytes)
  }
}
