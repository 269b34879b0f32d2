/**
 * The journal's frames and records. All numbers are little endian.
 *
 *     frame    0  u32  magic
 *              4  u32  length of the whole frame in bytes
 *              8  u32  CRC-32 of everything after it, to the end of the frame
 *             12  u32  records in it
 *             16  u32  epoch: how often the store had been opened
 *             20  u32  segment it was written to, so that stale bytes of a recycled segment are never taken for live ones
 *             24  u64  frame number: contiguous over all segments, never used twice
 *             32  u16  format version
 *             34  u16  flags: 1 = the batch goes on in the next frame, and counts only once its last frame is there
 *             36  u32  reserved
 *             40       records
 *
 *     record   0  u8   type
 *              1  u8   flags
 *              2  u8   priority
 *              3  u8   reserved
 *              4  u32  owner
 *              8  u64  sequence
 *             16  u32  length of the payload
 *             20       payload
 */
import { crc32 } from 'node:zlib'

export const frameHeaderBytes = 40
export const recordHeaderBytes = 20
export const formatVersion = 1

/** `MMJ1` */
const magic = 0x314a_4d4d
const twoTo32 = 2 ** 32

export const frameContinues = 1
/** Set in the flags of a state record whose key is removed. */
export const stateIsRemoved = 1

/** What a record says. The numbers are on disk: they never change their meaning. */
export const RecordType = {
  /** A message joins an owner; the payload is the message (src/store/message-codec.ts). */
  put: 1,
  /** The same message joins another owner; the payload is the f64 place and u32 length of its put record's payload. */
  reference: 2,
  /** Entries leave: sequences from the record's, as many as the u32 payload says. */
  ack: 3,
  /** An entry was delivered in vain: u16 delivery count, f64 time before which it is not delivered again. */
  redeliver: 4,
  /** An owner is defined; the payload is its specification as JSON. */
  define: 5,
  /** An owner goes with all its entries. */
  remove: 6,
  /** Entries up to the record's sequence may have been seen by consumers. */
  horizon: 7,
  /** A part of a body too long for one frame. */
  part: 8,
  /** The store was opened anew; first record of the first frame of an epoch. */
  epoch: 9,
  /** An entry's message now lies here: as a put, for an entry that is there. */
  rewrite: 10,
  /** The small state of a key: u16 length of the key, the key, the value. With {@link stateIsRemoved} no value. */
  state: 11,
} as const
export type RecordType = (typeof RecordType)[keyof typeof RecordType]

export interface FrameHeader {
  readonly bytes: number
  readonly crc: number
  readonly recordCount: number
  readonly epoch: number
  readonly segment: number
  readonly number: number
  readonly version: number
  readonly continues: boolean
}

/** Writes the header of the frame whose records are in place already. */
export function sealFrame(memory: Buffer, header: Omit<FrameHeader, 'crc' | 'version'>): void {
  memory.writeUInt32LE(magic, 0)
  memory.writeUInt32LE(header.bytes, 4)
  memory.writeUInt32LE(header.recordCount, 12)
  memory.writeUInt32LE(header.epoch, 16)
  memory.writeUInt32LE(header.segment, 20)
  writeNumber(memory, 24, header.number)
  memory.writeUInt16LE(formatVersion, 32)
  memory.writeUInt16LE(header.continues ? frameContinues : 0, 34)
  memory.writeUInt32LE(0, 36)
  memory.writeUInt32LE(crc32(memory.subarray(12, header.bytes)), 8)
}

/** Reads a frame header; undefined if there is none. The CRC is not checked. */
export function readFrameHeader(bytes: Buffer, at: number): FrameHeader | undefined {
  if (bytes.length - at < frameHeaderBytes || bytes.readUInt32LE(at) !== magic) return undefined
  const length = bytes.readUInt32LE(at + 4)
  if (length < frameHeaderBytes) return undefined
  return {
    bytes: length,
    crc: bytes.readUInt32LE(at + 8),
    recordCount: bytes.readUInt32LE(at + 12),
    epoch: bytes.readUInt32LE(at + 16),
    segment: bytes.readUInt32LE(at + 20),
    number: readNumber(bytes, at + 24),
    version: bytes.readUInt16LE(at + 32),
    continues: (bytes.readUInt16LE(at + 34) & frameContinues) !== 0,
  }
}

/** True if the whole frame at `at` is there and its CRC is right. */
export function isFrameIntact(bytes: Buffer, at: number, header: FrameHeader): boolean {
  if (bytes.length - at < header.bytes) return false
  return crc32(bytes.subarray(at + 12, at + header.bytes)) === header.crc
}

/** Writes an integer below 2^53 as u64. */
export function writeNumber(memory: Buffer, at: number, value: number): void {
  memory.writeUInt32LE(value % twoTo32, at)
  memory.writeUInt32LE(Math.floor(value / twoTo32), at + 4)
}

export function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * twoTo32
}

/** Writes a record header. Returns where its payload goes. */
export function writeRecord(
  memory: Buffer,
  at: number,
  type: RecordType,
  priority: number,
  owner: number,
  sequence: number,
  payloadBytes: number,
): number {
  memory[at] = type
  memory[at + 1] = 0
  memory[at + 2] = priority
  memory[at + 3] = 0
  memory.writeUInt32LE(owner, at + 4)
  writeNumber(memory, at + 8, sequence)
  memory.writeUInt32LE(payloadBytes, at + 16)
  return at + recordHeaderBytes
}

/** What is called with each record of a frame. `at` is where the payload starts in `bytes`. */
export interface RecordHandler {
  record(
    type: RecordType,
    flags: number,
    priority: number,
    owner: number,
    sequence: number,
    bytes: Buffer,
    at: number,
    end: number,
  ): void
}

/** Goes through the records of a frame whose CRC is right. */
export function readRecords(bytes: Buffer, frameAt: number, header: FrameHeader, handler: RecordHandler): void {
  const end = frameAt + header.bytes
  let at = frameAt + frameHeaderBytes
  for (let index = 0; index < header.recordCount; index += 1) {
    const payload = at + recordHeaderBytes
    const payloadEnd = payload + bytes.readUInt32LE(at + 16)
    if (payloadEnd > end) throw new Error(`record ${index} of frame ${header.number} is longer than its frame`)
    const type = bytes[at] as RecordType
    handler.record(
      type,
      bytes[at + 1] as number,
      bytes[at + 2] as number,
      bytes.readUInt32LE(at + 4),
      readNumber(bytes, at + 8),
      bytes,
      payload,
      payloadEnd,
    )
    at = payloadEnd
  }
}
