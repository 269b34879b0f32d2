import { type AmqpFault, Code, Cursor, decodeFault, framingFault, Layer } from './frame.ts'

/** One frame; the object is used again for the next one. */
export interface Frame {
  /** The whole frame, from `start` to `end`. */
  bytes: Buffer
  start: number
  end: number
  /** Where its performative begins. */
  bodyStart: number
  channel: number
  /** The bytes are this frame's alone, and may be kept; else they are those of the chunk it came in. */
  isOwn: boolean
}

/** What the bytes of one connection say. */
export interface FrameHandler {
  /** A protocol header: 8 bytes. */
  onHeader(bytes: Buffer): void
  /** A frame of the layer that the decoder is in; not one without a body, which only says that the peer is there. */
  onFrame(frame: Frame): void
  /** The peer broke the framing; nothing more is read. */
  onFault(fault: AmqpFault): void
}

const headBytes = 8
const noBytes = Buffer.alloc(0)

/**
 * Splits what a connection sends into protocol headers and frames. Holds one incomplete frame at most, and what comes while it
 * is paused.
 */
export class Decoder {
  /** What the next bytes are: a protocol header, or frames of a layer. */
  expects: 'header' | Layer
  /** The largest frame to be read now. */
  frameBytesMax: number
  readonly #handler: FrameHandler
  readonly #frame: Frame
  readonly #head: Buffer
  #headCount: number
  /** An incomplete frame, and how much of it is there. */
  #partial: Buffer | undefined
  #partialCount: number
  #isPaused: boolean
  #isClosed: boolean
  #held: Buffer[]

  constructor(handler: FrameHandler, frameBytesMax: number) {
    this.expects = 'header'
    this.frameBytesMax = frameBytesMax
    this.#handler = handler
    this.#frame = { bytes: noBytes, start: 0, end: 0, bodyStart: 0, channel: 0, isOwn: false }
    this.#head = Buffer.alloc(headBytes)
    this.#headCount = 0
    this.#partial = undefined
    this.#partialCount = 0
    this.#isPaused = false
    this.#isClosed = false
    this.#held = []
  }

  /** Reads a chunk. Calls back before it returns; what the handler pauses is read after `resume`. */
  push(chunk: Buffer): void {
    if (this.#isClosed) return
    if (this.#isPaused) {
      this.#held.push(chunk)
      return
    }
    let at = 0
    while (at < chunk.length) {
      if (this.#isPaused) {
        this.#held.push(chunk.subarray(at))
        return
      }
      if (this.#isClosed) return
      at = this.#partial === undefined ? this.#begin(chunk, at) : this.#fill(chunk, at)
    }
  }

  /** Reads nothing until `resume`: the answer to what was read must come first. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    const held = this.#held
    this.#held = []
    for (const chunk of held) this.push(chunk)
  }

  /** Reads nothing any more. */
  close(): void {
    this.#isClosed = true
    this.#partial = undefined
    this.#held = []
  }

  #begin(chunk: Buffer, at: number): number {
    if (this.#headCount > 0 || chunk.length - at < headBytes) return this.#collectHead(chunk, at)
    if (this.expects === 'header') {
      this.#handler.onHeader(chunk.subarray(at, at + headBytes))
      return at + headBytes
    }
    const size = this.#sizeAt(chunk, at)
    if (size < 0) return chunk.length
    if (chunk.length - at >= size) {
      this.#frame.isOwn = false
      this.#emit(chunk, at, size)
      return at + size
    }
    this.#partial = Buffer.allocUnsafeSlow(size)
    this.#partialCount = 0
    return this.#fill(chunk, at)
  }

  /** Collects the 8 bytes that every header and frame has at least. */
  #collectHead(chunk: Buffer, at: number): number {
    const taken = Math.min(headBytes - this.#headCount, chunk.length - at)
    chunk.copy(this.#head, this.#headCount, at, at + taken)
    this.#headCount += taken
    if (this.#headCount < headBytes) return at + taken
    this.#headCount = 0
    if (this.expects === 'header') {
      this.#handler.onHeader(Buffer.from(this.#head))
      return at + taken
    }
    const size = this.#sizeAt(this.#head, 0)
    if (size < 0) return chunk.length
    const partial = Buffer.allocUnsafeSlow(size)
    this.#head.copy(partial)
    this.#partial = partial
    this.#partialCount = headBytes
    if (size === headBytes) this.#complete(partial)
    return at + taken
  }

  #fill(chunk: Buffer, at: number): number {
    const partial = this.#partial
    if (partial === undefined) return at
    const taken = Math.min(partial.length - this.#partialCount, chunk.length - at)
    chunk.copy(partial, this.#partialCount, at, at + taken)
    this.#partialCount += taken
    if (this.#partialCount === partial.length) this.#complete(partial)
    return at + taken
  }

  #complete(partial: Buffer): void {
    this.#partial = undefined
    this.#frame.isOwn = true
    this.#emit(partial, 0, partial.length)
  }

  /** The size of the frame that begins there; -1 if it is none that may be. */
  #sizeAt(bytes: Buffer, at: number): number {
    const size = bytes.readUInt32BE(at)
    if (size < headBytes) return this.#fail(`a frame of ${size} bytes: the least is ${headBytes}`)
    if (size > this.frameBytesMax) {
      return this.#fail(`a frame of ${size} bytes; the most is ${this.frameBytesMax} (max-frame-size)`)
    }
    const type = bytes[at + 5]
    const expected = this.expects === Layer.sasl ? 1 : 0
    if (type !== expected) return this.#fail(`a frame of type ${type}; here belongs type ${expected}`)
    const bodyStart = (bytes[at + 4] as number) * 4
    if (bodyStart < headBytes || bodyStart > size) return this.#fail(`the data offset ${bodyStart / 4} is impossible`)
    return size
  }

  #emit(bytes: Buffer, start: number, size: number): void {
    const frame = this.#frame
    frame.bytes = bytes
    frame.start = start
    frame.end = start + size
    frame.bodyStart = start + (bytes[start + 4] as number) * 4
    frame.channel = ((bytes[start + 6] as number) << 8) | (bytes[start + 7] as number)
    if (frame.bodyStart < frame.end) this.#handler.onFrame(frame)
  }

  #fail(sentence: string): number {
    this.close()
    this.#handler.onFault(framingFault(sentence))
    return -1
  }
}

/** A transfer (part 2, section 2.7.5); used again for the next one. */
export class Transfer {
  handle = 0
  /** -1: absent, as on all but the first frame of a delivery. */
  deliveryId = -1
  tagStart = 0
  /** Negative: absent. */
  tagLength = -1
  messageFormat = -1
  settled: boolean | undefined = undefined
  more = false
  /** -1: that of the link. */
  rcvSettleMode = -1
  /** Where the delivery state is; empty if absent. */
  stateStart = 0
  stateEnd = 0
  resume = false
  aborted = false
  payloadStart = 0

  /** Reads the fields after the descriptor. */
  read(cursor: Cursor): AmqpFault | undefined {
    const count = cursor.list()
    this.handle = cursor.uint()
    this.deliveryId = count > 1 ? cursor.uint() : -1
    this.tagLength = count > 2 ? cursor.binary() : -1
    this.tagStart = cursor.at - Math.max(this.tagLength, 0)
    this.messageFormat = count > 3 ? cursor.uint() : -1
    this.settled = count > 4 ? cursor.boolean() : undefined
    this.more = count > 5 && cursor.boolean() === true
    this.rcvSettleMode = count > 6 ? cursor.ubyte() : -1
    this.stateStart = cursor.at
    const hasState = count > 7 && cursor.bytes[cursor.at] !== Code.null
    if (count > 7) cursor.skip()
    this.stateEnd = hasState ? cursor.at : this.stateStart
    this.resume = count > 8 && cursor.boolean() === true
    this.aborted = count > 9 && cursor.boolean() === true
    if (count > 10) cursor.boolean()
    this.payloadStart = cursor.at
    if (cursor.isBroken || count < 1 || count > 11 || this.handle < 0)
      return decodeFault('a transfer that cannot be read')
    return undefined
  }
}

/** A flow (part 2, section 2.7.4). Absent numbers are -1. */
export class Flow {
  nextIncomingId = -1
  incomingWindow = 0
  nextOutgoingId = 0
  outgoingWindow = 0
  handle = -1
  deliveryCount = -1
  linkCredit = -1
  drain = false
  echo = false
  /** What is sent by this credit would belong to a transaction (part 4, section 4.4.3). */
  acquires = false

  read(cursor: Cursor): AmqpFault | undefined {
    const count = cursor.list()
    this.nextIncomingId = cursor.uint()
    this.incomingWindow = cursor.uint()
    this.nextOutgoingId = cursor.uint()
    this.outgoingWindow = cursor.uint()
    this.handle = count > 4 ? cursor.uint() : -1
    this.deliveryCount = count > 5 ? cursor.uint() : -1
    this.linkCredit = count > 6 ? cursor.uint() : -1
    if (count > 7) cursor.uint()
    this.drain = count > 8 && cursor.boolean() === true
    this.echo = count > 9 && cursor.boolean() === true
    this.acquires = count > 10 && namesTransaction(cursor)
    if (cursor.isBroken || count < 4 || count > 11 || this.incomingWindow < 0 || this.nextOutgoingId < 0) {
      return decodeFault('a flow that cannot be read')
    }
    return undefined
  }
}

/** Goes over the properties of a flow: whether there is a `txn-id` among them. */
function namesTransaction(cursor: Cursor): boolean {
  const { bytes, at } = cursor
  cursor.check()
  if (cursor.isBroken || bytes[at] === Code.null) return false
  const properties = new Cursor(bytes, at, cursor.at)
  for (let left = properties.map(); left > 0; left -= 2) {
    if (properties.symbol() === 'txn-id') return bytes[properties.at] !== Code.null
    properties.skip()
  }
  return false
}

/** A disposition (part 2, section 2.7.6). */
export class Disposition {
  /** True: it comes from a receiver, and is about what we sent. */
  role = false
  first = 0
  last = 0
  settled = false
  /** Where the state is; empty if absent. */
  stateStart = 0
  stateEnd = 0

  read(cursor: Cursor): AmqpFault | undefined {
    const count = cursor.list()
    const role = cursor.boolean()
    this.first = cursor.uint()
    const last = count > 2 ? cursor.uint() : -1
    this.last = last < 0 ? this.first : last
    this.settled = count > 3 && cursor.boolean() === true
    this.stateStart = cursor.at
    if (count > 4) cursor.check()
    this.stateEnd = cursor.at
    if (count > 5) cursor.boolean()
    this.role = role === true
    if (cursor.isBroken || count < 2 || count > 6 || role === undefined || this.first < 0) {
      return decodeFault('a disposition that cannot be read')
    }
    return undefined
  }
}

/** True if all of it is well made and nothing follows: what rhea's reader may be given. */
export function isSound(cursor: Cursor): boolean {
  cursor.check()
  return !cursor.isBroken && cursor.at === cursor.end
}
