/**
 * Splits a stream of bytes into control packets (2.1):
 *
 *     type 4 bits | flags 4 bits | remaining length, 1 to 4 bytes | variable header and payload
 */
import type { PacketLimits } from './limits.ts'
import { type MqttFault, malformed, PacketType, packetName, Reason } from './packet.ts'

export interface PacketHandler {
  /**
   * A whole packet: its first byte, and where its variable header and payload are. The bytes are a view: what is to be kept has
   * to be copied before this returns.
   */
  onPacket(first: number, bytes: Buffer, start: number, end: number): void
  /** The bytes are no MQTT; nothing more is read. */
  onError(fault: MqttFault): void
}

/** A cut packet's buffer grows by this factor while its bytes come in: what is announced is not yet there. */
const growth = 2
const partialBytesMin = 256
/** Buffers below this come from Node's pool. */
const pooledBytesMax = 4096

/** What the low half of a first byte must be (2.1.3); PUBLISH has its own rule. */
function requiredFlags(type: number): number {
  const isTwo = type === PacketType.pubrel || type === PacketType.subscribe || type === PacketType.unsubscribe
  return isTwo ? 2 : 0
}

/** What may come before a client is let in; that CONNECT is the first of it is for the connection to see. */
function isEarly(type: number): boolean {
  return type === PacketType.connect || type === PacketType.auth || type === PacketType.disconnect
}

/** First bytes whose type and flags are right. */
const isPlain = new Uint8Array(256)
for (let first = 16; first < 256; first += 1) {
  const type = first >> 4
  isPlain[first] = type === PacketType.publish || (first & 15) === requiredFlags(type) ? 1 : 0
}

/** The decoder of one connection. Keeps at most one packet that has not come in whole. */
export class Decoder {
  readonly #handler: PacketHandler
  readonly #limits: PacketLimits
  /** Until a CONNECT has come in, packets are shorter. */
  isConnected: boolean
  #partial: Buffer | undefined
  #partialBytes: number
  #isPaused: boolean
  #isClosed: boolean

  constructor(handler: PacketHandler, limits: PacketLimits) {
    this.#handler = handler
    this.#limits = limits
    this.isConnected = false
    this.#partial = undefined
    this.#partialBytes = 0
    this.#isPaused = false
    this.#isClosed = false
  }

  push(chunk: Buffer): void {
    if (this.#isClosed) return
    let from = 0
    while (this.#partial !== undefined && !this.#isPaused && from < chunk.length) from = this.#append(chunk, from)
    if (this.#isPaused && this.#partial !== undefined) this.#keep(chunk, from)
    else if (from < chunk.length) this.#keep(chunk, this.#read(chunk, from, chunk.length))
  }

  /** Hands over no more packets; what comes meanwhile is kept. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    const held = this.#partial
    if (held === undefined || this.#isClosed) return
    const bytes = held.subarray(0, this.#partialBytes)
    this.#partial = undefined
    this.#partialBytes = 0
    this.#keep(bytes, this.#read(bytes, 0, bytes.length))
  }

  /** Reads nothing more. */
  close(): void {
    this.#isClosed = true
    this.#partial = undefined
  }

  /** Hands over the whole packets from `from` on. Returns where the rest begins. */
  #read(bytes: Buffer, from: number, end: number): number {
    let at = from
    while (end - at >= 2 && !this.#isPaused && !this.#isClosed) {
      const first = bytes[at] as number
      let length = bytes[at + 1] as number
      let start = at + 2
      if (length > 127 || !this.isConnected || isPlain[first] === 0) {
        start = this.#lengthEnd(bytes, at, end)
        if (start <= 0) return start < 0 ? end : at
        length = this.#length(bytes, at + 1, start)
        if (!this.#isAllowed(first, length, start - at + length)) return end
      }
      if (end - start < length) return at
      at = start + length
      this.#handler.onPacket(first, bytes, start, at)
    }
    return at
  }

  /** Where the remaining length of the packet at `at` ends; 0 if it has not come in, -1 if it is none. */
  #lengthEnd(bytes: Buffer, at: number, end: number): number {
    for (let index = at + 1; index < at + 5; index += 1) {
      if (index >= end) return 0
      const byte = bytes[index] as number
      // [MQTT-1.5.5-1]: in the fewest bytes.
      if (byte < 128)
        return byte === 0 && index > at + 1 ? this.#fail(malformed('the remaining length is too long')) : index + 1
    }
    return this.#fail(malformed('the remaining length has more than four bytes'))
  }

  #length(bytes: Buffer, at: number, end: number): number {
    let value = 0
    for (let index = end - 1; index >= at; index -= 1) value = value * 128 + ((bytes[index] as number) & 127)
    return value
  }

  /** Refuses a packet by its first bytes, before any more of it is kept. */
  #isAllowed(first: number, length: number, size: number): boolean {
    const type = first >> 4
    if (isPlain[first] === 0) {
      this.#fail(malformed(`${packetName(type)} with the flags ${first & 15} [MQTT-2.1.3-1]`))
      return false
    }
    const max = this.isConnected ? this.#limits.packetBytesMax : this.#limits.connectBytesMax
    if (!this.isConnected && !isEarly(type)) {
      this.#fail({ reason: Reason.protocolError, sentence: `the first packet is ${packetName(type)} [MQTT-3.1.0-1]` })
      return false
    }
    if (size <= max) return true
    const sentence = `${packetName(type)} of ${length} bytes; ${max} are allowed`
    this.#fail({ reason: Reason.packetTooLarge, sentence })
    return false
  }

  /** Keeps what is left of a chunk until more comes. */
  #keep(bytes: Buffer, from: number): void {
    if (from >= bytes.length || this.#isClosed) return
    this.#ensure(bytes.length - from)
    bytes.copy(this.#partial as Buffer, this.#partialBytes, from)
    this.#partialBytes += bytes.length - from
  }

  /** Adds to the cut packet as much as it may need. Returns where the rest of the chunk begins. */
  #append(chunk: Buffer, from: number): number {
    const wanted = this.#wanted()
    const take = Math.min(wanted, chunk.length - from)
    this.#ensure(take)
    const partial = this.#partial as Buffer
    chunk.copy(partial, this.#partialBytes, from, from + take)
    this.#partialBytes += take
    if (take < wanted && this.#partialBytes >= 5) return from + take
    const end = this.#partialBytes
    // Whoever gets the packet may pause and resume.
    this.#partial = undefined
    this.#partialBytes = 0
    if (this.#read(partial, 0, end) < end && !this.#isClosed) {
      this.#partial = partial
      this.#partialBytes = end
    }
    return from + take
  }

  /** Bytes that the cut packet lacks; one while its length is not known. */
  #wanted(): number {
    const partial = this.#partial as Buffer
    const end = this.#partialBytes
    for (let index = 1; index < 5; index += 1) {
      if (index >= end) return 1
      if ((partial[index] as number) < 128) return index + 1 + this.#length(partial, 1, index + 1) - end
    }
    return 1
  }

  #ensure(more: number): void {
    const held = this.#partial
    const needed = this.#partialBytes + more
    if (held !== undefined && held.length >= needed) return
    const size = Math.max(needed, partialBytesMin, (held?.length ?? 0) * growth)
    const grown = size < pooledBytesMax ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size)
    held?.copy(grown, 0, 0, this.#partialBytes)
    this.#partial = grown
  }

  #fail(fault: MqttFault): -1 {
    this.close()
    this.#handler.onError(fault)
    return -1
  }
}
