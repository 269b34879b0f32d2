/**
 * A page of the index in its slot. All numbers are little endian.
 *
 *      0  u32  magic
 *      4  u32  CRC-32 of everything after it
 *      8  u16  format version
 *     10  u8   flags: 1 = sequences have gaps, 2 = some entries were delivered in vain
 *     11  u8   priority
 *     12  u32  owner
 *     16  f64  first sequence
 *     24  u32  stamp: which write of a page this is, as the checkpoint that refers to it says
 *     28  u32  entries
 *     32       f64  location of each entry's message
 *              u32  length of each; the highest bit is set if its body is in parts
 *              u32  each sequence, less the first one; if there are gaps
 *              u32  failed deliveries of each, plus one; 0: not delivered; if any was
 *              f64  time before which each is not to be delivered again; the same
 */
import { endianness } from 'node:os'
import { crc32 } from 'node:zlib'
import type { IndexPage } from './index-page.ts'
import { PageColumns } from './page-columns.ts'

const magic = 0x3158_4d4d
const version = 1
const headBytes = 32
const hasGaps = 1
const hasHistory = 2

if (endianness() !== 'LE') throw new Error('the store is for little-endian machines')

/** What is written of a page: its columns as they were then. */
export interface PageImage {
  readonly page: IndexPage
  readonly columns: PageColumns
  readonly length: number
  readonly firstSequence: number
  readonly slot: number
  readonly stamp: number
}

export function pageBytes({ offsets, counts }: PageColumns, length: number): number {
  return headBytes + length * (12 + (offsets === undefined ? 0 : 4) + (counts === undefined ? 0 : 12))
}

/** Writes the page at the start of `memory`. Returns its length. */
export function encodePage(image: PageImage, memory: Buffer): number {
  const { page, columns, length, firstSequence, stamp } = image
  const { locations, lengths, offsets, counts, times } = columns
  memory.writeUInt32LE(magic, 0)
  memory.writeUInt16LE(version, 8)
  memory[10] = (offsets === undefined ? 0 : hasGaps) | (counts === undefined ? 0 : hasHistory)
  memory[11] = page.home.priority
  memory.writeUInt32LE(page.home.owner, 12)
  memory.writeDoubleLE(firstSequence, 16)
  memory.writeUInt32LE(stamp, 24)
  memory.writeUInt32LE(length, 28)
  let at = headBytes
  for (const column of [locations, lengths, offsets, counts, times]) {
    if (column === undefined) continue
    const bytes = length * column.BYTES_PER_ELEMENT
    memory.set(new Uint8Array(column.buffer, column.byteOffset, bytes), at)
    at += bytes
  }
  memory.writeUInt32LE(crc32(memory.subarray(8, at)), 4)
  return at
}

/** Reads the columns of a page; undefined if the bytes are not what was written of it last. */
export function decodePage(bytes: Buffer, page: IndexPage): PageColumns | undefined {
  if (bytes.length < headBytes || bytes.readUInt32LE(0) !== magic) return undefined
  if (bytes.readUInt16LE(8) !== version) return undefined
  const flags = bytes.readUInt8(10)
  const length = bytes.readUInt32LE(28)
  const end = headBytes + length * (12 + ((flags & hasGaps) === 0 ? 0 : 4) + ((flags & hasHistory) === 0 ? 0 : 12))
  if (end > bytes.length || crc32(bytes.subarray(8, end)) !== bytes.readUInt32LE(4)) return undefined
  if (bytes.readUInt32LE(24) !== page.stamp || length !== page.length) return undefined
  const columns = new PageColumns(length)
  if ((flags & hasGaps) !== 0) columns.offsets = new Uint32Array(length)
  if ((flags & hasHistory) !== 0) {
    columns.counts = new Uint32Array(length)
    columns.times = new Float64Array(length)
  }
  let at = headBytes
  for (const column of [columns.locations, columns.lengths, columns.offsets, columns.counts, columns.times]) {
    if (column === undefined) continue
    new Uint8Array(column.buffer).set(bytes.subarray(at, at + column.byteLength))
    at += column.byteLength
  }
  return columns
}
