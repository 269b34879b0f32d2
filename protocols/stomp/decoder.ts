import { CutFrame } from './cut-frame.ts'
import type { Frame, FrameHandler, FrameScratch, StompFault } from './frame.ts'
import {
  Command,
  commandNames,
  hasBody,
  headerHasEscape,
  headerHasUtf8,
  headerStride,
  isConnecting,
  readDecimal,
} from './frame.ts'
import type { Version } from './headers.ts'
import { asBuffer, findInvalidUtf8, findUndefinedEscape, Header, headerNames } from './headers.ts'
import type { FrameLimits } from './limits.ts'
import { commandBytesMax } from './limits.ts'
import * as octets from './octets.ts'

// What is imported is looked up again for each octet, which would take a fifth longer.
const { backslash, cr, kindOf, lf, Octet, quoted } = octets

/** Where the reading of a frame stands. */
const Phase = {
  between: 0,
  /** Between frames, after a CR that must be followed by LF. */
  afterCr: 1,
  command: 2,
  headers: 3,
  /** In a body whose length is known. */
  sized: 4,
  /** In a body that ends at the first NUL. */
  unsized: 5,
} as const
type Phase = (typeof Phase)[keyof typeof Phase]

/** Bytes of a chunk taken at a time for a cut frame whose end is not known. */
const headerStepBytes = 1024

/**
 * Reads frames, of clients and of servers, from chunks cut anywhere. Sans-IO: it calls its handler from inside {@link push}
 * and {@link resume} and never otherwise.
 *
 * A frame that lies whole in a chunk is read in place. Of a frame that is cut, the bytes so far are copied into a buffer that
 * grows by a factor with what has arrived, whatever length the frame announces. Nothing is scanned twice, and the outcome does
 * not depend on where the chunks are cut.
 *
 * What the three versions leave open, or what is kept more or less strictly than they say:
 * - End-of-line. LF, and CR LF in 1.2 (STOMP 1.2 "STOMP Frames"). Before the version is set CR LF is accepted too, since a 1.2
 *   peer may send it. In 1.0 it stays accepted, as ActiveMQ does: there the padding of values has no meaning, and telnet is a
 *   1.0 client. In 1.1 a CR is part of its line (1.1 "Augmented BNF"). Between frames CR LF is accepted in every version,
 *   because no command starts with CR. In 1.2 a CR elsewhere in a line is an error ("Augmented BNF").
 * - Colon. A line is split at its first colon; more colons are taken as part of the value, as ActiveMQ and RabbitMQ do, though
 *   1.1 and 1.2 want them escaped.
 * - NUL in a header line is an error, though the grammar does not forbid it: receivers look for the end of a frame by it.
 * - Header lines must be valid UTF-8 in every version ("Value Encoding").
 * - CONNECT and CONNECTED are never unescaped ("Value Encoding"), nor is STOMP, which is to be handled as CONNECT.
 * - A body is for SEND, MESSAGE and ERROR ("Body"). 1.0 has no such rule and says that the body of SUBSCRIBE is ignored: there
 *   the body of any other frame is read and left out. Before the version is set it is an error.
 * - content-length is decimal digits and nothing else; the first one counts ("Repeated Header Entries").
 */
export class Decoder {
  readonly #handler: FrameHandler
  readonly #limits: FrameLimits
  readonly #scratch: FrameScratch
  #version: Version
  #versionSet: boolean
  #paused: boolean
  #closed: boolean
  /** True while the handler may be called; what is pushed then waits. */
  #running: boolean
  /** Chunks, and the rest of one, that wait for {@link resume}. */
  #kept: Buffer[]

  /** What has arrived of the frame being read, once it is cut. */
  readonly #cut: CutFrame

  // The frame being read. Its positions are in the chunk, or in #cut.
  #phase: Phase
  #position: number
  #frameStart: number
  #lineStart: number
  #colon: number
  #octets: number
  #command: Command
  /** The version whose escapes the frame has. */
  #escapes: Version
  #headersStart: number
  #headersEnd: number
  #bodyStart: number
  #bodyEnd: number

  /** `scratch` is shared by the decoders of one event loop. */
  constructor(handler: FrameHandler, limits: FrameLimits, scratch: FrameScratch) {
    this.#handler = handler
    this.#limits = limits
    this.#scratch = scratch
    this.#version = '1.0'
    this.#versionSet = false
    this.#paused = false
    this.#closed = false
    this.#running = false
    this.#kept = []
    this.#cut = new CutFrame()
    this.#phase = Phase.between
    this.#position = 0
    this.#frameStart = 0
    this.#lineStart = 0
    this.#colon = -1
    this.#octets = 0
    this.#command = Command.send
    this.#escapes = '1.0'
    this.#headersStart = 0
    this.#headersEnd = 0
    this.#bodyStart = 0
    this.#bodyEnd = 0
  }

  /** The version of the frames that follow; '1.0' until it is set, with what a peer may send before it is agreed. */
  get version(): Version {
    return this.#version
  }

  set version(version: Version) {
    this.#version = version
    this.#versionSet = true
  }

  /** Reads a chunk, which is only read and no longer needed when the call returns. Ignored after an error or a close. */
  push(chunk: Uint8Array): void {
    if (this.#closed || chunk.length === 0) return
    if (this.#paused || this.#running || this.#kept.length > 0) {
      this.#kept.push(Buffer.from(chunk))
      return
    }
    this.#run(asBuffer(chunk), false)
    if (this.#kept.length > 0) this.#drain()
  }

  /** Stops the calls, at once, until {@link resume}. What is pushed meanwhile is kept: the caller must stop reading. */
  pause(): void {
    this.#paused = true
  }

  /** Goes on; calls the handler for what was kept before it returns, unless it is called by the handler. */
  resume(): void {
    this.#paused = false
    if (!this.#running) this.#drain()
  }

  /** Ends the calls for good and releases all buffers. */
  close(): void {
    this.#closed = true
    this.#kept = []
    this.#cut.release()
  }

  #drain(): void {
    while (!this.#paused && !this.#closed) {
      const chunk = this.#kept.shift()
      if (chunk === undefined) return
      this.#run(chunk, true)
    }
  }

  /** Reads a chunk until its end or a pause; `owned` says that its rest can be kept without a copy. */
  #run(chunk: Buffer, owned: boolean): void {
    const frame = this.#scratch.take()
    const end = chunk.length
    let position = 0
    this.#running = true
    while (position < end && !this.#paused && !this.#closed) {
      if (this.#cut.bytes === undefined) position = this.#read(frame, chunk, position, end)
      else position = this.#append(frame, chunk, position)
    }
    this.#running = false
    this.#scratch.give(frame)
    if (position < end && !this.#closed) {
      const rest = chunk.subarray(position)
      this.#kept.unshift(owned ? rest : Buffer.from(rest))
    }
  }

  /**
   * Reads at most one frame, or end-of-lines between frames, from `bytes`, and goes on where the cut frame stands. Returns
   * where it stopped: behind the frame, or `end` if there is less than a frame.
   */
  #read(frame: Frame, bytes: Buffer, from: number, end: number): number {
    if (this.#phase <= Phase.afterCr) {
      let position = from
      if (this.#phase === Phase.afterCr) {
        if (bytes[position] !== lf) {
          this.#fail('protocol-error', 'a CR between frames is not followed by LF', frame)
          return end
        }
        this.#phase = Phase.between
        this.#handler.onHeartBeat()
        return position + 1
      }
      while (bytes[position] === lf) {
        position += 1
        this.#handler.onHeartBeat()
        if (position === end || this.#paused || this.#closed) return position
      }
      if (bytes[position] === cr) {
        this.#phase = Phase.afterCr
        return position + 1
      }
      frame.clear()
      this.#frameStart = position
      this.#position = position
      this.#phase = Phase.command
    } else {
      this.#restore(frame)
    }
    frame.bytes = bytes
    if (this.#phase === Phase.command && !this.#readCommand(frame, bytes, end)) return end
    if (this.#phase === Phase.headers && !this.#readHeaders(frame, bytes, end)) return end
    if (!this.#readBody(frame, bytes, end)) return end
    return this.#deliver(frame)
  }

  #readCommand(frame: Frame, bytes: Buffer, end: number): boolean {
    const start = this.#frameStart
    // One byte more than the limit, since a CR may come before the LF.
    const full = start + commandBytesMax + 2
    const stop = Math.min(end, full)
    let position = this.#position
    while (position < stop && bytes[position] !== lf && bytes[position] !== 0) position += 1
    if (position === stop && stop < full) return this.#suspend(frame, bytes, position, end)
    const lineEnd = this.#endsInCr(bytes, start, position) ? position - 1 : position
    const isLine = position < stop && bytes[position] === lf
    const command = isLine && lineEnd > start ? commandNames.find(bytes, start, lineEnd) : 0
    if (command === 0) {
      return this.#fail('protocol-error', `unknown command ${quoted(bytes, start, lineEnd, commandBytesMax)}`, frame)
    }
    this.#command = command as Command
    this.#escapes = isConnecting(this.#command) ? '1.0' : this.#version
    this.#headersStart = position + 1
    this.#position = position + 1
    this.#lineStart = position + 1
    this.#colon = -1
    this.#octets = 0
    this.#phase = Phase.headers
    return true
  }

  /** Reads header lines up to the blank one. Returns false if they do not end here or are wrong. */
  #readHeaders(frame: Frame, bytes: Buffer, end: number): boolean {
    const limits = this.#limits
    const blockEndMax = this.#frameStart + limits.headerBlockBytesMax
    for (;;) {
      const lineStart = this.#lineStart
      // One byte more than the limit, since a CR may come before the LF.
      const full = lineStart + limits.headerLineBytesMax + 2
      const stop = Math.min(end, full)
      const position = this.#scanLine(bytes, stop)
      if (position === stop) return stop === full ? this.#failLine(frame) : this.#suspend(frame, bytes, position, end)
      if (bytes[position] === 0) {
        return this.#fail('protocol-error', `a NUL inside the headers of ${commandNames.names[this.#command]}`, frame)
      }
      const lineEnd = this.#octets !== 0 && this.#endsInCr(bytes, lineStart, position) ? position - 1 : position
      this.#position = position + 1
      if (lineEnd === lineStart) break
      if (!this.#addHeader(frame, bytes, lineStart, lineEnd)) return false
      if (position >= blockEndMax) {
        return this.#fail('limit-exceeded', `the headers are longer than ${limits.headerBlockBytesMax} bytes`, frame)
      }
      this.#lineStart = position + 1
      this.#colon = -1
      this.#octets = 0
    }
    this.#headersEnd = this.#lineStart
    return this.#beginBody(frame, bytes, this.#position)
  }

  /** Goes on to the LF or NUL that ends a header line, and notes its first colon and what else is special in it. */
  #scanLine(bytes: Buffer, stop: number): number {
    let position = this.#position
    let octets = this.#octets
    if (this.#colon < 0) {
      for (; position < stop; position++) {
        const kind = kindOf[bytes[position] as number] as number
        if (kind === 0) continue
        if (kind === Octet.colon) {
          this.#colon = position
          position += 1
          break
        }
        if (kind === Octet.end) break
        octets |= kind
      }
    }
    if (this.#colon >= 0) {
      for (; position < stop; position++) {
        const byte = bytes[position] as number
        if (byte > cr && byte < 128 && byte !== backslash) continue
        const kind = kindOf[byte] as number
        if (kind === Octet.end) break
        octets |= kind
      }
    }
    this.#octets = octets
    return position
  }

  #addHeader(frame: Frame, bytes: Buffer, start: number, end: number): boolean {
    const colon = this.#colon
    const octets = this.#octets
    if (end - start > this.#limits.headerLineBytesMax) return this.#failLine(frame)
    if (colon <= start) {
      const fault = colon < 0 ? 'without a colon' : 'without a name'
      return this.#fail('protocol-error', `header line ${fault}: ${quoted(bytes, start, end)}`, frame)
    }
    const count = frame.headerCount
    if (count === this.#limits.headersMax) {
      return this.#fail('limit-exceeded', `a frame has more than ${count} header lines`, frame)
    }
    if (octets !== 0 && !this.#checkLine(frame, bytes, start, end, octets)) return false
    const header = headerNames.find(bytes, start, colon)
    if (header !== 0 && (frame.first[header] as number) < 0) frame.first[header] = count
    const at = count * headerStride
    if (at === frame.headers.length) frame.grow()
    const headers = frame.headers
    headers[at] = start
    headers[at + 1] = colon
    headers[at + 2] = end
    headers[at + 3] =
      octets === 0
        ? header
        : header |
          ((octets & Octet.backslash) === 0 ? 0 : headerHasEscape) |
          ((octets & Octet.high) === 0 ? 0 : headerHasUtf8)
    frame.headerCount = count + 1
    return true
  }

  /** Checks a line with octets that are not plain. */
  #checkLine(frame: Frame, bytes: Buffer, start: number, end: number, octets: number): boolean {
    const escapes = this.#escapes
    if ((octets & Octet.cr) !== 0 && escapes === '1.2') {
      const at = bytes.indexOf(cr, start)
      if (at < end) return this.#failAt('a CR that is not escaped', frame, bytes, start, end)
    }
    if ((octets & Octet.backslash) !== 0 && findUndefinedEscape(bytes, start, end, escapes) >= 0) {
      return this.#failAt(`an escape sequence that STOMP ${escapes} does not define`, frame, bytes, start, end)
    }
    if ((octets & Octet.high) !== 0 && findInvalidUtf8(bytes, start, end) >= 0) {
      return this.#failAt('bytes that are not UTF-8', frame, bytes, start, end)
    }
    return true
  }

  /** Decides how the body is read, once the headers are complete. */
  #beginBody(frame: Frame, bytes: Buffer, bodyStart: number): boolean {
    this.#bodyStart = bodyStart
    this.#position = bodyStart
    frame.trims = this.#trims(frame)
    const index = frame.first[Header.contentLength] as number
    if (index < 0) {
      this.#phase = Phase.unsized
      return true
    }
    const start = frame.valueStartAt(index)
    const end = frame.valueEndAt(index)
    const length = readDecimal(bytes, start, end)
    if (length < 0) {
      const value = quoted(bytes, start, end)
      return this.#fail('protocol-error', `content-length is not a number: ${value}`, frame)
    }
    if (length > this.#limits.bodyBytesMax) return this.#failBody(frame)
    if (length > 0 && !this.#mayHaveBody()) return this.#failNoBody(frame)
    this.#bodyEnd = bodyStart + length
    this.#phase = Phase.sized
    return true
  }

  #readBody(frame: Frame, bytes: Buffer, end: number): boolean {
    if (this.#phase === Phase.sized) {
      if (this.#bodyEnd >= end) return this.#suspend(frame, bytes, end, end)
      if (bytes[this.#bodyEnd] === 0) return true
      const length = this.#bodyEnd - this.#bodyStart
      return this.#fail('protocol-error', `no NUL after the ${length} bytes that content-length announces`, frame)
    }
    const bodyStart = this.#bodyStart
    if (bodyStart < end && bytes[bodyStart] !== 0 && !this.#mayHaveBody()) return this.#failNoBody(frame)
    const found = bytes.indexOf(0, this.#position)
    // A buffer has room behind what has arrived.
    const nul = found < 0 || found > end ? end : found
    if (nul - bodyStart > this.#limits.bodyBytesMax) return this.#failBody(frame)
    if (nul === end) return this.#suspend(frame, bytes, end, end)
    this.#bodyEnd = nul
    return true
  }

  /** Hands the frame over. Returns where the bytes after its NUL start. */
  #deliver(frame: Frame): number {
    const after = this.#bodyEnd + 1
    const cut = this.#cut
    frame.ownsBytes = cut.ownsBytes
    frame.command = this.#command
    frame.escapes = this.#escapes
    frame.headersStart = this.#headersStart
    frame.headersEnd = this.#headersEnd
    frame.bodyStart = this.#bodyStart
    frame.bodyEnd = hasBody(this.#command) ? this.#bodyEnd : this.#bodyStart
    if (cut.bytes !== undefined) cut.release()
    this.#phase = Phase.between
    this.#handler.onFrame(frame)
    return after
  }

  /** Whether the command may have a body, or has one that is to be ignored. */
  #mayHaveBody(): boolean {
    return hasBody(this.#command) || (this.#versionSet && this.#version === '1.0')
  }

  /** Only 1.0 pads values. A CONNECT without accept-version, and a CONNECTED without version, is of 1.0 ("Protocol Negotiation"). */
  #trims(frame: Frame): boolean {
    if (this.#versionSet) return this.#version === '1.0'
    if (this.#command === Command.connected) return !frame.has(Header.version)
    return !isConnecting(this.#command) || !frame.has(Header.acceptVersion)
  }

  #endsInCr(bytes: Buffer, start: number, end: number): boolean {
    return end > start && bytes[end - 1] === cr && this.#version !== '1.1'
  }

  /** Keeps what has been read of a frame that is cut at `end`. Returns false. */
  #suspend(frame: Frame, bytes: Buffer, position: number, end: number): false {
    const start = this.#frameStart
    const cut = this.#cut
    cut.saveHeaders(frame, start)
    this.#position = position - start
    if (cut.bytes !== undefined) return false
    this.#lineStart -= start
    if (this.#colon >= 0) this.#colon -= start
    this.#headersStart -= start
    this.#headersEnd -= start
    this.#bodyStart -= start
    this.#bodyEnd -= start
    this.#frameStart = 0
    cut.append(bytes, start, end, this.#frameBytes)
    return false
  }

  /** Length of the cut frame, if it is known. */
  get #frameBytes(): number | undefined {
    return this.#phase === Phase.sized ? this.#bodyEnd + 1 : undefined
  }

  /** Appends bytes of `chunk` to the cut frame and reads on. Returns where the bytes of `chunk` not used start. */
  #append(frame: Frame, chunk: Buffer, from: number): number {
    const cut = this.#cut
    const available = chunk.length - from
    const nul = this.#phase === Phase.unsized ? chunk.indexOf(0, from) : -1
    const took = Math.min(available, this.#wanted(cut.length, nul < 0 ? available : nul + 1 - from))
    const bytes = cut.append(chunk, from, from + took, this.#frameBytes)
    const total = cut.length
    if (this.#phase === Phase.sized && total <= this.#bodyEnd) return from + took
    const read = this.#read(frame, bytes, 0, total)
    // What was appended after the end of the frame is still in the chunk.
    return from + took - (total - read)
  }

  /** How many of the next bytes to append, `upToNul` at most if the body ends at a NUL. */
  #wanted(have: number, upToNul: number): number {
    if (this.#phase === Phase.sized) return this.#bodyEnd + 1 - have
    if (this.#phase === Phase.unsized) return Math.min(upToNul, this.#bodyStart + this.#limits.bodyBytesMax + 1 - have)
    return headerStepBytes
  }

  /** Puts the header lines that were kept into a frame, which other decoders may have used meanwhile. */
  #restore(frame: Frame): void {
    frame.clear()
    if (this.#cut.restoreHeaders(frame) && this.#phase >= Phase.sized) frame.trims = this.#trims(frame)
  }

  #failLine(frame: Frame): false {
    return this.#fail('limit-exceeded', `a header line is longer than ${this.#limits.headerLineBytesMax} bytes`, frame)
  }

  #failAt(fault: string, frame: Frame, bytes: Buffer, start: number, end: number): false {
    return this.#fail('protocol-error', `header line with ${fault}: ${quoted(bytes, start, end)}`, frame)
  }

  #failBody(frame: Frame): false {
    return this.#fail('message-too-large', `the body is longer than ${this.#limits.bodyBytesMax} bytes`, frame)
  }

  #failNoBody(frame: Frame): false {
    return this.#fail('protocol-error', `${commandNames.names[this.#command]} must not have a body`, frame)
  }

  #fail(code: StompFault['code'], sentence: string, frame: Frame): false {
    const receipt = this.#phase >= Phase.headers ? frame.rawValue(Header.receipt) : undefined
    this.close()
    this.#handler.onError({ code, sentence, receipt })
    return false
  }
}
