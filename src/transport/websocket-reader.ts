/**
 * The frames of a WebSocket (RFC 6455 §5.2), taken apart without input or output:
 *
 *     fin:1 rsv:3 opcode:4 | mask:1 length:7 | length: 0, 2 or 8 bytes | masking key: 4 bytes, of a client | payload
 *
 * Data is handed on as it comes and not gathered into messages, so that nothing grows here: the protocol within has its
 * own limits, and gives the boundaries of messages no meaning ([MQTT-6.0.0-2]; AMQP WebSocket Binding 2.4).
 */
import { isUtf8 } from 'node:buffer'
import { CloseCode, controlBytesMax, isCloseCode, mask, Opcode, wordsOf } from './websocket-frame.ts'

/** Why nothing is read any more: the peer's close frame, or what is wrong with its frames. */
export interface Ending {
  /** What to answer. */
  readonly code: number
  /** What is wrong; undefined: the peer closes in order. */
  readonly fault: string | undefined
}

const headBytesMax = 14
const nothing = Buffer.alloc(0)

export class WebSocketReader {
  /** Whether the peer's latest message was text. */
  isText: boolean
  /** The payload of the latest ping, until the caller has taken it to answer it; §5.5.3 asks for no more than the latest. */
  ping: Buffer | undefined
  /** Set once nothing is read any more. */
  ending: Ending | undefined
  readonly #takesText: boolean
  /** Of each header; a client masks, a server does not (§5.1). */
  readonly #keyBytes: 4 | 0
  /** The part of a header that has come. */
  readonly #head: Buffer
  #headBytes: number
  readonly #key: Uint8Array
  #opcode: number
  #isFinal: boolean
  #isInPayload: boolean
  #payloadLeft: number
  readonly #control: Buffer
  #controlBytes: number
  /** A message has begun, and its last frame has not come. */
  #isFragmented: boolean
  /** No byte of the text under way has come. */
  #isTextStart: boolean
  /** The first bytes of a character whose others have not come. */
  #openCharacter: Buffer
  /** Where in the chunk the data lies that has been read from it, and where the part of it that is text to be checked. */
  #dataStart: number
  #dataEnd: number
  #textStart: number

  /** `takesText`: false if the protocol within is spoken in binary messages only. */
  constructor(takesText = true, peer: 'client' | 'server' = 'client') {
    this.#takesText = takesText
    this.#keyBytes = peer === 'client' ? 4 : 0
    this.isText = false
    this.ping = undefined
    this.ending = undefined
    this.#head = Buffer.alloc(headBytesMax)
    this.#headBytes = 0
    this.#key = new Uint8Array(4)
    this.#opcode = Opcode.continuation
    this.#isFinal = true
    this.#isInPayload = false
    this.#payloadLeft = 0
    this.#control = Buffer.alloc(controlBytesMax)
    this.#controlBytes = 0
    this.#isFragmented = false
    this.#isTextStart = false
    this.#openCharacter = nothing
    this.#dataStart = 0
    this.#dataEnd = 0
    this.#textStart = 0
  }

  /** Reads a chunk, which it changes. Returns the data of all its frames, a view of the same memory. */
  push(chunk: Buffer): Buffer {
    const words = wordsOf(chunk)
    this.#dataStart = this.#dataEnd = this.#textStart = 0
    let at = 0
    while (at < chunk.length && this.ending === undefined) {
      if (!this.#isInPayload) {
        at = this.#readHead(chunk, at)
        continue
      }
      const end = Math.min(at + this.#payloadLeft, chunk.length)
      if (this.#keyBytes > 0) mask(chunk, words, at, end, this.#key)
      if (this.#opcode >= Opcode.close) this.#keep(chunk, at, end)
      else this.#gather(chunk, at, end)
      this.#payloadLeft -= end - at
      if (this.#payloadLeft === 0) this.#endFrame(chunk)
      at = end
    }
    this.#checkText(chunk)
    return chunk.subarray(this.#dataStart, this.#dataEnd)
  }

  /** Reads a header as far as it has come. Returns where the payload, or the next frame, begins. */
  #readHead(chunk: Buffer, start: number): number {
    const head = this.#head
    let at = start
    let needed = this.#headBytes < 2 ? 2 : this.#headLength()
    while (at < chunk.length && this.#headBytes < needed) {
      head[this.#headBytes++] = chunk[at++] as number
      if (this.#headBytes === 2) {
        const fault = this.#faultOf(head[0] as number, head[1] as number)
        if (fault !== undefined) {
          this.#end(CloseCode.protocolError, fault)
          return at
        }
        needed = this.#headLength()
      }
    }
    if (this.#headBytes === needed) this.#begin(chunk, needed)
    return at
  }

  /** Bytes of the header whose first two have come. */
  #headLength(): number {
    const length = (this.#head[1] as number) & 0x7f
    return 2 + (length < 126 ? 0 : length === 126 ? 2 : 8) + this.#keyBytes
  }

  /** §5.2 to §5.5; what the first two bytes of a header show. */
  #faultOf(first: number, second: number): string | undefined {
    const opcode = first & 0x0f
    if ((first & 0x70) !== 0) return 'a reserved bit is set and no extension was agreed on'
    if (opcode > Opcode.pong || (opcode > Opcode.binary && opcode < Opcode.close)) return `there is no opcode ${opcode}`
    if ((second & 0x80) === 0 && this.#keyBytes > 0) return 'a frame of a client must be masked'
    if ((second & 0x80) !== 0 && this.#keyBytes === 0) return 'a frame of a server must not be masked'
    if (opcode >= Opcode.close) {
      if ((first & 0x80) === 0) return 'a control frame must not be fragmented'
      if ((second & 0x7f) > controlBytesMax) return `a control frame has at most ${controlBytesMax} bytes`
      return undefined
    }
    if (opcode === Opcode.continuation) return this.#isFragmented ? undefined : 'no message is there to be continued'
    return this.#isFragmented ? 'a message began before the last one was complete' : undefined
  }

  /** A header is complete. */
  #begin(chunk: Buffer, headBytes: number): void {
    const head = this.#head
    const first = head[0] as number
    const length = payloadLength(head, headBytes - this.#keyBytes)
    this.#headBytes = 0
    if (length === undefined) {
      this.#end(CloseCode.protocolError, 'a length must be written in as few bytes as it fits in')
      return
    }
    if (length > Number.MAX_SAFE_INTEGER) {
      this.#end(CloseCode.tooBig, 'a frame of that length is too big')
      return
    }
    this.#opcode = first & 0x0f
    this.#isFinal = (first & 0x80) !== 0
    this.#key.set(head.subarray(headBytes - this.#keyBytes, headBytes))
    this.#payloadLeft = length
    this.#isInPayload = true
    if (this.#opcode === Opcode.text || this.#opcode === Opcode.binary) this.#beginMessage(chunk)
    if (length === 0) this.#endFrame(chunk)
  }

  #beginMessage(chunk: Buffer): void {
    const isText = this.#opcode === Opcode.text
    if (isText && !this.#takesText) this.#end(CloseCode.unsupported, 'only binary messages are spoken here')
    if (this.isText && !isText) this.#checkText(chunk)
    if (isText && !this.isText) this.#textStart = this.#dataEnd
    this.isText = isText
    this.#isTextStart = isText
    this.#isFragmented = true
  }

  /** Moves data behind that of the frames before it. */
  #gather(chunk: Buffer, at: number, end: number): void {
    if (this.#dataStart === this.#dataEnd) this.#dataStart = this.#dataEnd = this.#textStart = at
    if (this.#isTextStart) {
      this.#isTextStart = false
      // The last message's open end must not be completed by this one.
      if (isContinuation(chunk[at] as number)) this.#end(CloseCode.invalidText, notUtf8)
    }
    if (at !== this.#dataEnd) chunk.copyWithin(this.#dataEnd, at, end)
    this.#dataEnd += end - at
  }

  #keep(chunk: Buffer, at: number, end: number): void {
    chunk.copy(this.#control, this.#controlBytes, at, end)
    this.#controlBytes += end - at
  }

  #endFrame(chunk: Buffer): void {
    this.#isInPayload = false
    if (this.#opcode < Opcode.close) {
      this.#isFragmented = !this.#isFinal
      return
    }
    const payload = this.#control.subarray(0, this.#controlBytes)
    this.#controlBytes = 0
    if (this.#opcode === Opcode.ping) this.ping = Buffer.from(payload)
    else if (this.#opcode === Opcode.close) {
      this.#checkText(chunk)
      this.#close(payload)
    }
  }

  /** §5.5.1 */
  #close(payload: Buffer): void {
    if (payload.length === 0) this.#end(CloseCode.normal, undefined)
    else if (payload.length === 1) this.#end(CloseCode.protocolError, 'a close code has two bytes')
    else {
      const code = payload.readUInt16BE()
      if (!isCloseCode(code)) this.#end(CloseCode.protocolError, `${code} is no close code`)
      else if (!isUtf8(payload.subarray(2))) this.#end(CloseCode.invalidText, 'a close reason that is no UTF-8')
      else this.#end(code, undefined)
    }
  }

  /** §8.1: checks the text that has come since it was last called, or the chunk began, and drops it if it is none. */
  #checkText(chunk: Buffer): void {
    if (!this.isText) return
    const start = this.#textStart
    let text: Buffer = chunk.subarray(start, this.#dataEnd)
    this.#textStart = this.#dataEnd
    if (text.length === 0 && this.#openCharacter.length === 0) return
    if (this.#openCharacter.length > 0) text = Buffer.concat([this.#openCharacter, text])
    const open = this.#isFragmented ? openBytes(text) : 0
    this.#openCharacter = open === 0 ? nothing : Buffer.from(text.subarray(text.length - open))
    if (isUtf8(text.subarray(0, text.length - open))) return
    this.#dataEnd = start
    this.#end(CloseCode.invalidText, notUtf8)
  }

  /** The first ending counts. */
  #end(code: number, fault: string | undefined): void {
    this.ending ??= { code, fault }
  }
}

const notUtf8 = 'text that is no UTF-8'

/** Undefined: it is written in more bytes than it needs (§5.2). */
function payloadLength(head: Buffer, bytesBeforeKey: number): number | undefined {
  if (bytesBeforeKey === 2) return (head[1] as number) & 0x7f
  if (bytesBeforeKey === 4) {
    const length = head.readUInt16BE(2)
    return length < 126 ? undefined : length
  }
  const length = head.readUInt32BE(2) * 2 ** 32 + head.readUInt32BE(6)
  return length < 0x1_0000 ? undefined : length
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

/** How many bytes at the end begin a character without ending it. */
function openBytes(text: Buffer): number {
  for (let count = 1; count <= Math.min(3, text.length); count += 1) {
    const byte = text[text.length - count] as number
    if (isContinuation(byte)) continue
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return needed > count ? count : 0
  }
  return 0
}
