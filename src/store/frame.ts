/**
 * The journal's frames, blocks and records. All numbers are little endian.
 *
 *     frame    0  u32  magic
 *              4  u32  length of the whole frame in bytes
 *              8  u32  CRC-32 of the rest of the header
 *             12  u32  records in it
 *             16  u32  epoch: how often the store had been opened
 *             20  u32  segment it was written to, so that stale bytes of a recycled segment are never taken for live ones
 *             24  u64  frame number: contiguous over all segments, never used twice
 *             32  u16  format version
 *             34  u16  flags: 1 = the batch goes on in the next frame, and counts only once its last frame is there
 *             36  u32  digest of the blocks' CRCs, so that blocks of another frame are not taken for this one's
 *             40       blocks
 *
 *     block    0  u32  length of the whole block in bytes
 *              4  u32  CRC-32 of everything after it, begun with the number of the segment
 *              8       records
 *
 *     record   0  u8   type
 *              1  u8   flags
 *              2  u8   priority
 *              3  u8   reserved
 *              4  u32  owner
 *              8  u48  sequence
 *             14  u16  bytes from the start of the block, so that a record read by itself can be checked
 *             16  u32  length of the payload
 *             20       payload
 *
 * A block ends with the record that brings it to 16 KiB; a longer record has a block of its own.
 */
import { crc32 } from 'node:zlib'
import { BrokerError } from '../errors.ts'

export const frameHeaderBytes = 40
export const blockHeaderBytes = 8
export const recordHeaderBytes = 20
/** A block of this length is complete; so no record starts further from its block's start. */
export const blockBytes = 16 * 1024
export const formatVersion = 2

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
  /** An entry's message now lies here, moved or added to: as a put, for an entry that is there. */
  rewrite: 10,
  /** The small state of a key: u16 length of the key, the key, the value. With {@link stateIsRemoved} no value. */
  state: 11,
} as const
export type RecordType = (typeof RecordType)[keyof typeof RecordType]

export interface FrameHeader {
  readonly bytes: number
  readonly recordCount: number
  readonly epoch: number
  readonly segment: number
  readonly number: number
  readonly continues: boolean
  readonly digest: number
}

/** Ends the block from `at` to `end`, whose records are in place. */
export function endBlock(memory: Buffer, at: number, end: number): void {
  memory.writeUInt32LE(end - at, at)
}

/** Writes the header of a frame whose blocks are in place. */
export function writeFrameHeader(memory: Buffer, header: Omit<FrameHeader, 'digest'>): void {
  memory.writeUInt32LE(magic, 0)
  memory.writeUInt32LE(header.bytes, 4)
  memory.writeUInt32LE(header.recordCount, 12)
  memory.writeUInt32LE(header.epoch, 16)
  memory.writeUInt32LE(header.segment, 20)
  writeNumber(memory, 24, header.number)
  memory.writeUInt16LE(formatVersion, 32)
  memory.writeUInt16LE(header.continues ? frameContinues : 0, 34)
}

/** Makes the CRCs and the digest of a frame that is complete but for them. Throws a RangeError if `frame` is none. */
export function sealFrame(frame: Buffer): void {
  const segment = frame.readUInt32LE(20)
  let digest = 0
  for (let block = frameHeaderBytes; block < frame.length; ) {
    const next = block + frame.readUInt32LE(block)
    if (next <= block || next > frame.length) throw new RangeError(`there is no block of a frame at ${block}`)
    const crc = blockCrc(frame, block, next, segment)
    frame.writeUInt32LE(crc, block + 4)
    digest = mix(digest, crc)
    block = next
  }
  frame.writeUInt32LE(digest, 36)
  frame.writeUInt32LE(crc32(frame.subarray(12, frameHeaderBytes)), 8)
}

/**
 * Reads a frame header; undefined if there is none, or it is damaged. Throws a BrokerError `store-failed` for one of a newer
 * version. The blocks are not looked at.
 */
export function readFrameHeader(bytes: Buffer, at: number): FrameHeader | undefined {
  if (bytes.length - at < frameHeaderBytes || bytes.readUInt32LE(at) !== magic) return undefined
  if (crc32(bytes.subarray(at + 12, at + frameHeaderBytes)) !== bytes.readUInt32LE(at + 8)) return undefined
  const length = bytes.readUInt32LE(at + 4)
  const version = bytes.readUInt16LE(at + 32)
  if (version > formatVersion) throw new BrokerError('store-failed', newerSentence(version, formatVersion))
  if (length < frameHeaderBytes || version < formatVersion) return undefined
  return {
    bytes: length,
    recordCount: bytes.readUInt32LE(at + 12),
    epoch: bytes.readUInt32LE(at + 16),
    segment: bytes.readUInt32LE(at + 20),
    number: readNumber(bytes, at + 24),
    continues: (bytes.readUInt16LE(at + 34) & frameContinues) !== 0,
    digest: bytes.readUInt32LE(at + 36),
  }
}

/** Why a store cannot be opened that a newer broker has written. */
export function newerSentence(found: number, known: number): string {
  return `the store has format ${found}; this broker knows formats up to ${known}: start the newer one`
}

/** True if the whole frame at `at` is there and its blocks are what was written. */
export function isFrameIntact(bytes: Buffer, at: number, header: FrameHeader): boolean {
  const end = at + header.bytes
  if (bytes.length < end) return false
  let digest = 0
  let block = at + frameHeaderBytes
  for (let next = 0; block < end; block = next) {
    next = blockEnd(bytes, block, end, header.segment)
    if (next < 0) return false
    digest = mix(digest, bytes.readUInt32LE(block + 4))
  }
  return digest === header.digest
}

/** Where the block at `at` ends; -1 if none is there that is what was written to that segment, or not before `end`. */
export function blockEnd(bytes: Buffer, at: number, end: number, segment: number): number {
  if (at + blockHeaderBytes > end) return -1
  const next = at + bytes.readUInt32LE(at)
  if (next <= at + blockHeaderBytes || next > end) return -1
  return blockCrc(bytes, at, next, segment) === bytes.readUInt32LE(at + 4) ? next : -1
}

function blockCrc(bytes: Buffer, at: number, end: number, segment: number): number {
  return crc32(bytes.subarray(at + blockHeaderBytes, end), segment)
}

/** Order counts. */
function mix(digest: number, crc: number): number {
  return (Math.imul(digest ^ crc, 0x9e37_79b1) + 0x7f4a_7c15) >>> 0
}

/** Writes an integer below 2^53 as u64. */
export function writeNumber(memory: Buffer, at: number, value: number): void {
  memory.writeUInt32LE(value % twoTo32, at)
  memory.writeUInt32LE(Math.floor(value / twoTo32), at + 4)
}

export function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * twoTo32
}

/** What the header of a record says of it. */
export interface RecordHead {
  readonly priority: number
  readonly owner: number
  readonly sequence: number
}

/** Writes a record header. `back`: bytes from the start of its block. Returns where its payload goes. */
export function writeRecord(
  view: DataView,
  at: number,
  type: RecordType,
  head: RecordHead,
  back: number,
  payloadBytes: number,
): number {
  const { sequence } = head
  view.setUint8(at, type)
  view.setUint8(at + 1, 0)
  view.setUint8(at + 2, head.priority)
  view.setUint8(at + 3, 0)
  view.setUint32(at + 4, head.owner, true)
  view.setUint32(at + 8, sequence % twoTo32, true)
  view.setUint16(at + 12, Math.floor(sequence / twoTo32), true)
  view.setUint16(at + 14, back, true)
  view.setUint32(at + 16, payloadBytes, true)
  return at + recordHeaderBytes
}

/** A record of a frame, as long as the call lasts that it is given to. Its payload is `bytes` from `at` to `end`. */
export class RecordView implements RecordHead {
  type: RecordType
  flags: number
  priority: number
  owner: number
  sequence: number
  bytes: Buffer
  at: number
  end: number

  constructor(bytes: Buffer) {
    this.type = RecordType.epoch
    this.flags = 0
    this.priority = 0
    this.owner = 0
    this.sequence = 0
    this.bytes = bytes
    this.at = 0
    this.end = 0
  }

  /** Reads the record whose header is at `at`. */
  read(at: number): void {
    const { bytes } = this
    this.type = bytes[at] as RecordType
    this.flags = bytes[at + 1] as number
    this.priority = bytes[at + 2] as number
    this.owner = bytes.readUInt32LE(at + 4)
    this.sequence = bytes.readUInt32LE(at + 8) + bytes.readUInt16LE(at + 12) * twoTo32
    this.at = at + recordHeaderBytes
    this.end = this.at + bytes.readUInt32LE(at + 16)
  }
}

/** Is called with each record of a frame. */
export type RecordHandler = (record: RecordView) => void

/** Goes through the records of the blocks from `from` to `end`, which are sound. */
export function readBlocks(bytes: Buffer, from: number, end: number, handler: RecordHandler): void {
  const record = new RecordView(bytes)
  for (let block = from; block < end; ) {
    const next = block + bytes.readUInt32LE(block)
    for (let at = block + blockHeaderBytes; at < next; at = record.end) {
      record.read(at)
      if (record.end > next) throw new Error(`a record at ${at} is longer than its block`)
      handler(record)
    }
    block = next
  }
}
