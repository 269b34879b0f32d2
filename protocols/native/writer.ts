import { frameHeadBytes } from './frame.ts'
import { textBytesMax, writeText } from './text.ts'

/**
 * Where bytes are written: `buffer` from `position`, after {@link reserve}. `write` takes long bytes without a copy, so they
 * must not change any more. src/transport/output.ts is one, the client's outbox another.
 */
export interface ByteSink {
  buffer: Uint8Array
  position: number
  /** Makes room for that many bytes more in one piece. */
  reserve(bytes: number): void
  write(bytes: Uint8Array): void
}

/** Bytes in memory that grow. */
export class GrowingBytes implements ByteSink {
  buffer: Uint8Array
  position: number

  constructor(startBytes = 256) {
    this.buffer = new Uint8Array(startBytes)
    this.position = 0
  }

  /** What has been written; a view that the next write may change. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.position)
  }

  clear(): void {
    this.position = 0
  }

  reserve(bytes: number): void {
    if (this.buffer.length - this.position >= bytes) return
    const grown = new Uint8Array((this.position + bytes) * 2)
    grown.set(this.bytes)
    this.buffer = grown
  }

  write(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.position)
    this.position += bytes.length
  }
}

/** Writes a whole number from 0 to 2^53 - 1 as LEB128. Returns where it ends; there must be room for 8 bytes. */
export function putVarint(buffer: Uint8Array, at: number, value: number): number {
  let rest = value
  let end = at
  while (rest > 0x7f) {
    buffer[end] = (rest % 128) | 0x80
    rest = rest > 0x7fff_ffff ? Math.floor(rest / 128) : rest >>> 7
    end += 1
  }
  buffer[end] = rest
  return end + 1
}

/** Bytes of {@link putVarint}. */
export function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) bytes += 1
  return bytes
}

/** Up to so many bytes are copied one by one, which is faster than making a view of them. */
const shortBytesMax = 96

/** Copies the bytes of `from` between `start` and `end` to `at`. Returns where they end. */
export function putBytes(buffer: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length > shortBytesMax) buffer.set(from.subarray(start, end), at)
  else for (let index = 0; index < length; index += 1) buffer[at + index] = from[start + index] as number
  return at + length
}

export function putU32(buffer: Uint8Array, at: number, value: number): void {
  buffer[at] = value >>> 24
  buffer[at + 1] = value >>> 16
  buffer[at + 2] = value >>> 8
  buffer[at + 3] = value
}

export function writeVarint(sink: ByteSink, value: number): void {
  sink.reserve(8)
  sink.position = putVarint(sink.buffer, sink.position, value)
}

export function writeByte(sink: ByteSink, value: number): void {
  sink.reserve(1)
  sink.buffer[sink.position] = value
  sink.position += 1
}

export function writeU16(sink: ByteSink, value: number): void {
  sink.reserve(2)
  sink.buffer[sink.position] = value >>> 8
  sink.buffer[sink.position + 1] = value
  sink.position += 2
}

/** A length and the text in UTF-8. */
export function writeString(sink: ByteSink, text: string): void {
  const bytesMax = textBytesMax(text)
  sink.reserve(bytesMax + 8)
  // Most texts are short: the length takes one byte, and if not the text makes way.
  const start = sink.position + 1
  let end = writeText(sink.buffer, start, text)
  const length = end - start
  if (length > 0x7f) {
    const lengthBytes = varintBytes(length)
    sink.buffer.copyWithin(start + lengthBytes - 1, start, end)
    end += lengthBytes - 1
  }
  putVarint(sink.buffer, start - 1, length)
  sink.position = end
}

/** A length and the bytes. */
export function writeBytes(sink: ByteSink, bytes: Uint8Array): void {
  sink.reserve(8 + bytes.length)
  sink.position = putVarint(sink.buffer, sink.position, bytes.length)
  sink.buffer.set(bytes, sink.position)
  sink.position += bytes.length
}

/** Writes a frame's head into the sink, which must have room for it; its length is put in by {@link endFrame}. */
export function beginFrame(sink: ByteSink, type: number, flags: number): void {
  const { buffer, position } = sink
  buffer[position + 4] = type
  buffer[position + 5] = flags
  sink.position = position + frameHeadBytes
}

/** Completes the frame that began at `start` and is to have `tailBytes` more after what is written. */
export function endFrame(sink: ByteSink, start: number, tailBytes = 0): void {
  putU32(sink.buffer, start, sink.position - start - 4 + tailBytes)
}
