/**
 * One frame as its bytes: command, header lines and body are ranges of one buffer.
 *
 *     SEND LF                         command line
 *     destination:/queue/a LF         header lines, from headersStart to headersEnd
 *     LF
 *     hello                           body, from bodyStart to bodyEnd
 *     NUL
 *
 * `headers` has four numbers for each header line, in order: where the line starts, where its colon is, where its value ends
 * (before the end-of-line), and which known header it is, with flags.
 */
import type { HeaderNumber, HeaderSet, Version } from './headers.ts'
import { headerNames, NameTable, trimmedEnd, trimmedStart, unescapeHeader } from './headers.ts'

export const Command = {
  connect: 1,
  stomp: 2,
  send: 3,
  subscribe: 4,
  unsubscribe: 5,
  ack: 6,
  nack: 7,
  begin: 8,
  commit: 9,
  abort: 10,
  disconnect: 11,
  connected: 12,
  message: 13,
  receipt: 14,
  error: 15,
} as const

/** A frame's command; those from {@link Command.connected} on are the server's. */
export type Command = (typeof Command)[keyof typeof Command]

/** The commands by their number. They are case sensitive (STOMP 1.2 "STOMP Frames"). */
export const commandNames = new NameTable(Object.keys(Command).map((name) => name.toUpperCase()))

/** Whether frames of this command have a body (STOMP 1.2 "Body"). */
export function hasBody(command: Command): boolean {
  return command === Command.send || command === Command.message || command === Command.error
}

/** Whether frames of this command are not escaped, since they decide the version (STOMP 1.2 "Value Encoding"). */
export function isConnecting(command: Command): boolean {
  return command === Command.connect || command === Command.connected || command === Command.stomp
}

/** Why a decoder stopped. The connection cannot go on: the bytes that follow have no meaning any more. */
export interface StompFault {
  /** A code of src/errors.ts. */
  readonly code: 'protocol-error' | 'limit-exceeded' | 'message-too-large'
  /** For a person: no line breaks, no more than a few hundred characters. */
  readonly sentence: string
  /** A copy of the raw value of the frame's receipt header, if that was read before the fault; ERROR should name it. */
  readonly receipt: Uint8Array | undefined
}

/** What a decoder calls. Each call may pause or close the decoder, change its version, or push to it. */
export interface FrameHandler {
  /** A whole frame. It and its bytes are lent until the call returns; see {@link Frame.ownsBytes}. */
  onFrame(frame: Frame): void
  /** One end-of-line between frames: a heart-beat, or the one that many peers send after a frame. */
  onHeartBeat(): void
  /** The last call of this decoder. */
  onError(fault: StompFault): void
}

/** Numbers for each header line in {@link Frame.headers}. */
export const headerStride = 4
/** The part of a header's fourth number that is its {@link HeaderNumber}. */
export const headerNumberMask = 0xff
/** Set in a header's fourth number if its line has a backslash, or bytes that are not ASCII. */
export const headerHasEscape = 0x100
export const headerHasUtf8 = 0x200

const noBytes = Buffer.alloc(0)
const absent = -1

/** A frame lent to {@link FrameHandler.onFrame}. Reused for the next one, so nothing of it may be kept. */
export class Frame {
  /** The buffer all ranges of this frame are in. */
  bytes: Buffer
  /** True if `bytes` is this frame's alone, as of a long frame that came in pieces: views of it may then be kept. */
  ownsBytes: boolean
  command: Command
  /** The version whose escapes its headers have: 1.0, which has none, for CONNECT, STOMP and CONNECTED. */
  escapes: Version
  /** Whether spaces around values are padding, as in 1.0; set for a CONNECT without accept-version and its like too. */
  trims: boolean
  headerCount: number
  /** {@link headerStride} numbers for each header line; see the head of this file. */
  headers: Int32Array
  /** For each known header the index of its first header line, or -1 (STOMP 1.2 "Repeated Header Entries"). */
  readonly first: Int16Array
  headersStart: number
  /** After the end-of-line of the last header line. */
  headersEnd: number
  bodyStart: number
  bodyEnd: number

  constructor() {
    this.bytes = noBytes
    this.ownsBytes = false
    this.command = Command.send
    this.escapes = '1.0'
    this.trims = false
    this.headerCount = 0
    this.headers = new Int32Array(32 * headerStride)
    this.first = new Int16Array(headerNames.names.length).fill(absent)
    this.headersStart = 0
    this.headersEnd = 0
    this.bodyStart = 0
    this.bodyEnd = 0
  }

  get commandName(): string {
    return commandNames.names[this.command] as string
  }

  has(header: HeaderNumber): boolean {
    return (this.first[header] as number) >= 0
  }

  /** Where the value of a known header starts in `bytes`; -1 if the frame has no such header. */
  valueStart(header: HeaderNumber): number {
    const index = this.first[header] as number
    return index < 0 ? absent : this.valueStartAt(index)
  }

  /** Where the value of a known header ends in `bytes`; -1 if the frame has no such header. */
  valueEnd(header: HeaderNumber): number {
    const index = this.first[header] as number
    return index < 0 ? absent : this.valueEndAt(index)
  }

  /** The value of a known header, unescaped; undefined if the frame has no such header. */
  text(header: HeaderNumber): string | undefined {
    const index = this.first[header] as number
    return index < 0 ? undefined : this.valueTextAt(index)
  }

  /** Whether a known header has this value. `ascii` must be ASCII without colon, backslash and control characters. */
  equals(header: HeaderNumber, ascii: string): boolean {
    const index = this.first[header] as number
    if (index < 0) return false
    const start = this.valueStartAt(index)
    if (this.valueEndAt(index) - start !== ascii.length) return false
    const bytes = this.bytes
    for (let at = 0; at < ascii.length; at++) {
      if (bytes[start + at] !== ascii.charCodeAt(at)) return false
    }
    return true
  }

  /** Whether a known header is there and its raw value has exactly these bytes. */
  equalsBytes(header: HeaderNumber, raw: Uint8Array): boolean {
    const index = this.first[header] as number
    if (index < 0) return false
    const start = this.valueStartAt(index)
    if (this.valueEndAt(index) - start !== raw.length) return false
    const bytes = this.bytes
    for (let at = 0; at < raw.length; at++) {
      if (bytes[start + at] !== raw[at]) return false
    }
    return true
  }

  /** The value of a known header if it is decimal digits and at most 2^53 - 1; otherwise, or without one, NaN. */
  number(header: HeaderNumber): number {
    const index = this.first[header] as number
    if (index < 0) return Number.NaN
    const value = readDecimal(this.bytes, this.valueStartAt(index), this.valueEndAt(index))
    return value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : Number.NaN
  }

  /** A copy of the raw value of a known header. */
  rawValue(header: HeaderNumber): Uint8Array | undefined {
    const index = this.first[header] as number
    return index < 0 ? undefined : new Uint8Array(this.bytes.subarray(this.valueStartAt(index), this.valueEndAt(index)))
  }

  /** Which known header the header line at `index` is; 0 if none. */
  headerAt(index: number): HeaderNumber {
    return ((this.headers[index * headerStride + 3] as number) & headerNumberMask) as HeaderNumber
  }

  lineStartAt(index: number): number {
    return this.headers[index * headerStride] as number
  }

  nameEndAt(index: number): number {
    return this.headers[index * headerStride + 1] as number
  }

  /** Where the value starts, padding left out if the frame {@link trims}. */
  valueStartAt(index: number): number {
    const start = (this.headers[index * headerStride + 1] as number) + 1
    return this.trims ? trimmedStart(this.bytes, start, this.headers[index * headerStride + 2] as number) : start
  }

  /** Where the value ends, padding left out if the frame {@link trims}. */
  valueEndAt(index: number): number {
    const end = this.headers[index * headerStride + 2] as number
    if (!this.trims) return end
    return trimmedEnd(this.bytes, (this.headers[index * headerStride + 1] as number) + 1, end)
  }

  nameTextAt(index: number): string {
    return this.#text(index, this.lineStartAt(index), this.nameEndAt(index))
  }

  valueTextAt(index: number): string {
    return this.#text(index, this.valueStartAt(index), this.valueEndAt(index))
  }

  /** How many bytes {@link copyHeaders} writes for the same `left`. */
  headerBytes(left: HeaderSet): number {
    const headers = this.headers
    let total = 0
    for (let at = 0; at < this.headerCount * headerStride; at += headerStride) {
      if (left[(headers[at + 3] as number) & headerNumberMask] !== 0) continue
      total += (headers[at + 2] as number) - (headers[at] as number) + 1
    }
    return total
  }

  /**
   * Copies the raw header lines, each with one LF whatever it ended in, into `target` from `position`, but for those that
   * `left` says to leave out (every occurrence of them). Returns where the copy ends.
   */
  copyHeaders(left: HeaderSet, target: Uint8Array, position: number): number {
    const headers = this.headers
    const bytes = this.bytes
    let to = position
    for (let at = 0; at < this.headerCount * headerStride; at += headerStride) {
      if (left[(headers[at + 3] as number) & headerNumberMask] !== 0) continue
      const end = headers[at + 2] as number
      for (let from = headers[at] as number; from < end; from++) {
        target[to] = bytes[from] as number
        to += 1
      }
      target[to] = 10
      to += 1
    }
    return to
  }

  /** Forgets the headers and the bytes; by the decoder only. */
  clear(): void {
    const headers = this.headers
    for (let at = 3; at < this.headerCount * headerStride; at += headerStride) {
      this.first[(headers[at] as number) & headerNumberMask] = absent
    }
    this.headerCount = 0
    this.trims = false
    this.bytes = noBytes
    this.ownsBytes = false
  }

  /** Takes over header lines that were kept, after {@link clear}; by the decoder only. */
  restore(headers: Int32Array, count: number): void {
    while (this.headers.length < count * headerStride) this.grow()
    for (let at = 0; at < count * headerStride; at++) this.headers[at] = headers[at] as number
    for (let index = 0; index < count; index++) {
      const header = this.headerAt(index)
      if (header !== 0 && (this.first[header] as number) < 0) this.first[header] = index
    }
    this.headerCount = count
  }

  /** Makes room for more header lines; by the decoder only. */
  grow(): void {
    const grown = new Int32Array(this.headers.length * 2)
    grown.set(this.headers)
    this.headers = grown
  }

  #text(index: number, start: number, end: number): string {
    const flags = this.headers[index * headerStride + 3] as number
    if ((flags & (headerHasEscape | headerHasUtf8)) === 0) return this.bytes.toString('latin1', start, end)
    // The decoder has refused undefined escape sequences already.
    return unescapeHeader(this.bytes, start, end, this.escapes) ?? ''
  }
}

/**
 * The frames that the decoders of one protocol share, so that a quiet connection has none. One is enough unless a handler
 * makes another decoder resume from inside a call.
 */
export class FrameScratch {
  readonly #frames: Frame[]

  constructor() {
    this.#frames = []
  }

  take(): Frame {
    return this.#frames.pop() ?? new Frame()
  }

  give(frame: Frame): void {
    frame.clear()
    this.#frames.push(frame)
  }
}

/** The number written in decimal digits; -1 if there is none or anything else; Infinity past 2^53 - 1. */
export function readDecimal(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : Number.POSITIVE_INFINITY
}
