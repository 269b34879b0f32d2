/**
 * A checkpoint: what the journal had come to at the end of one frame, so that recovery need not read what came before. Pages of the
 * index lie in files of their own (src/store/page-codec.ts); here is where each of them is, and which entries have left.
 *
 *     head     0  u32  magic
 *              4  u32  CRC-32 of everything after it
 *              8  u32  format version
 *             12  u32  flags: 1 = nothing happened after it
 *             16  f64  number of the checkpoint
 *             24  u32  epoch
 *             28  u32  segment  where the next frame was going to be
 *             32  u32  offset
 *             36  f64  number of the next frame
 *             44  u32  highest number of an owner
 *             48  u32  count of segments, then of each: u32 number, u32 bytes used
 *              u32  count of bodies in parts, then of each: f64 location, u32 count of parts, of each f64 location, u32 length
 *              u32  count of owners, then of each:
 *                   u32  number, f64 last sequence, f64 horizon, f64 seen up to, text of its specification, u8 count of priorities
 *                   u8   priority, u32 count of pages, then of each:
 *                        f64  slot, u32 stamp, f64 first sequence, f64 last sequence, u16 entries, u16 alive, u16 with parts
 *                        u8   flags: 1 = scattered, 2 = some have left
 *                        u16  count of spans, then of each: u32 segment, u16 first entry, u16 alive, f64 bytes
 *                             one bit an entry: gone; if some have left
 *                        u32  count of deferred changes, then of each: u8 kind and three f64, of a move also u8: in parts
 *              u32  count of keys with small state, then of each: text, u32 length, value
 */

import { crc32 } from 'node:zlib'
import { BrokerError } from '../errors.ts'
import { ByteReader, type ByteWriter } from './byte-writer.ts'
import { newerSentence } from './frame.ts'
import type { DeferredChange, IndexPage, PageState, Span } from './index-page.ts'
import type { Part } from './journal-frame.ts'
import type { JournalIndex } from './journal-index.ts'
import type { Location } from './location.ts'
import type { OwnerIndex } from './owner-index.ts'
import type { Segments } from './segments.ts'
import type { OwnerSpec } from './store.ts'

const magic = 0x4b43_4d4d
export const checkpointVersion = 2
export const checkpointHeadBytes = 16
const isCleanFlag = 1
const isScatteredFlag = 1
const hasDeadFlag = 2
const pageHeadBytes = 37
const spanBytes = 16
const kinds = ['kill', 'redeliver', 'relocate'] as const

/** Where the next frame was going to be, and how the store stood. */
export interface CheckpointHead {
  readonly number: number
  readonly epoch: number
  readonly segment: number
  readonly offset: number
  readonly frame: number
  /** True if nothing happened after it: the broker was closed, and flags are exact. */
  readonly isClean: boolean
}

/** Everything before that place. */
export interface Checkpoint extends CheckpointHead {
  readonly lastOwner: number
  readonly segments: readonly SegmentState[]
  readonly owners: readonly OwnerState[]
  readonly parts: readonly (readonly [Location, readonly Part[]])[]
  readonly states: readonly (readonly [string, Uint8Array])[]
}

interface SegmentState {
  readonly id: number
  readonly usedBytes: number
}

interface OwnerState {
  readonly id: number
  readonly spec: OwnerSpec
  readonly lastSequence: number
  readonly horizon: number
  readonly seenUpTo: number
  readonly directories: readonly { readonly priority: number; readonly pages: readonly PageState[] }[]
}

/** Takes down all but the owners, which follow, and the small state behind them. Its CRC and that are added by {@link sealCheckpoint}. */
export function writeCheckpoint(
  writer: ByteWriter,
  head: CheckpointHead,
  index: JournalIndex,
  segments: Segments,
): void {
  writer.u32(magic)
  writer.u32(0)
  writer.u32(checkpointVersion)
  writer.u32(head.isClean ? isCleanFlag : 0)
  writer.f64(head.number)
  writer.u32(head.epoch)
  writer.u32(head.segment)
  writer.u32(head.offset)
  writer.f64(head.frame)
  writer.u32(index.lastOwner)
  const all = [...segments.all]
  writer.u32(all.length)
  for (const { id, usedBytes } of all) {
    writer.u32(id)
    writer.u32(usedBytes)
  }
  writer.u32(index.parts.size)
  for (const [location, parts] of index.parts) {
    writer.f64(location)
    writer.u32(parts.length)
    for (const part of parts) {
      writer.f64(part.location)
      writer.u32(part.length)
    }
  }
  writer.u32(index.owners.size)
}

/** Puts the CRC into a checkpoint that is complete. */
export function sealCheckpoint(bytes: Buffer): void {
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
}

/**
 * Reads a checkpoint; undefined if the bytes are none, or not whole. Throws a BrokerError `store-failed` for one of a newer version.
 */
export function decodeCheckpoint(bytes: Buffer): Checkpoint | undefined {
  if (bytes.length < checkpointHeadBytes || bytes.readUInt32LE(0) !== magic) return undefined
  if (crc32(bytes.subarray(8)) !== bytes.readUInt32LE(4)) return undefined
  const found = bytes.readUInt32LE(8)
  if (found > checkpointVersion) {
    throw new BrokerError('store-failed', newerSentence(found, checkpointVersion))
  }
  if (found < checkpointVersion) return undefined
  const reader = new ByteReader(bytes, 12)
  return {
    isClean: (reader.u32() & isCleanFlag) !== 0,
    number: reader.f64(),
    epoch: reader.u32(),
    segment: reader.u32(),
    offset: reader.u32(),
    frame: reader.f64(),
    lastOwner: reader.u32(),
    segments: several(reader.u32(), () => ({ id: reader.u32(), usedBytes: reader.u32() })),
    parts: several(reader.u32(), () => [
      reader.f64(),
      several(reader.u32(), () => ({ location: reader.f64(), length: reader.u32() })),
    ]),
    owners: several(reader.u32(), () => readOwner(reader)),
    states: several(reader.u32(), () => [reader.text(), reader.raw(reader.u32())]),
  }
}

/** The slots that a checkpoint refers to. */
export function* slotsOf(checkpoint: Checkpoint): Generator<number> {
  for (const { directories } of checkpoint.owners)
    for (const { pages } of directories) for (const { slot } of pages) yield slot
}

/** Takes down one of the owners, whose dirty pages have been given slots. */
export function writeOwner(writer: ByteWriter, owner: OwnerIndex): void {
  writer.u32(owner.id)
  writer.f64(owner.lastSequence)
  writer.f64(owner.horizon)
  writer.f64(owner.seenUpTo)
  writer.text(owner.specText)
  const directories = owner.directories.filter((directory) => directory !== undefined && directory.pages.length > 0)
  writer.u8(directories.length)
  for (const directory of directories) {
    if (directory === undefined) continue
    writer.u8(directory.priority)
    writer.u32(directory.pages.length)
    for (const page of directory.pages) writePage(writer, page)
  }
}

function writePage(writer: ByteWriter, page: IndexPage): void {
  const { spans, dead, length, deferred } = page
  const hasDead = dead !== undefined && page.liveCount < length
  const head = writer.take(pageHeadBytes + spans.length * spanBytes)
  head.setFloat64(0, page.slot, true)
  head.setUint32(8, page.stamp, true)
  head.setFloat64(12, page.firstSequence, true)
  head.setFloat64(20, page.lastSequence, true)
  head.setUint16(28, length, true)
  head.setUint16(30, page.liveCount, true)
  head.setUint16(32, page.partCount, true)
  head.setUint8(34, (page.isScattered ? isScatteredFlag : 0) | (hasDead ? hasDeadFlag : 0))
  head.setUint16(35, spans.length, true)
  let at = pageHeadBytes
  for (const { segment, start, entries, bytes } of spans) {
    head.setUint32(at, segment, true)
    head.setUint16(at + 4, start, true)
    head.setUint16(at + 6, entries, true)
    head.setFloat64(at + 8, bytes, true)
    at += spanBytes
  }
  if (hasDead) writer.raw(dead.subarray(0, (length + 7) >> 3))
  writer.u32(deferred.length)
  for (const change of deferred) writeDeferred(writer, change)
}

function writeDeferred(writer: ByteWriter, change: DeferredChange): void {
  writer.u8(kinds.indexOf(change.kind))
  switch (change.kind) {
    case 'kill':
      writer.f64(change.from)
      writer.f64(change.to)
      writer.f64(0)
      return
    case 'redeliver':
      writer.f64(change.sequence)
      writer.f64(change.deliveryCount)
      writer.f64(change.notBefore)
      return
    case 'relocate':
      writer.f64(change.sequence)
      writer.f64(change.location)
      writer.f64(change.bytes)
      writer.u8(change.hasParts ? 1 : 0)
      return
    default:
      change satisfies never
  }
}

function readOwner(reader: ByteReader): OwnerState {
  return {
    id: reader.u32(),
    lastSequence: reader.f64(),
    horizon: reader.f64(),
    seenUpTo: reader.f64(),
    spec: JSON.parse(reader.text()) as OwnerSpec,
    directories: several(reader.u8(), () => ({
      priority: reader.u8(),
      pages: several(reader.u32(), () => readPage(reader)),
    })),
  }
}

function readPage(reader: ByteReader): PageState {
  const slot = reader.f64()
  const stamp = reader.u32()
  const firstSequence = reader.f64()
  const lastSequence = reader.f64()
  const length = reader.u16()
  const liveCount = reader.u16()
  const partCount = reader.u16()
  const flags = reader.u8()
  const spans = several(
    reader.u16(),
    (): Span => ({ segment: reader.u32(), start: reader.u16(), entries: reader.u16(), bytes: reader.f64() }),
  )
  const dead = (flags & hasDeadFlag) === 0 ? undefined : reader.raw((length + 7) >> 3)
  const deferred = several(reader.u32(), () => readDeferred(reader))
  const isScattered = (flags & isScatteredFlag) !== 0
  return {
    slot,
    stamp,
    firstSequence,
    lastSequence,
    length,
    liveCount,
    partCount,
    isScattered,
    spans,
    dead,
    deferred,
  }
}

function readDeferred(reader: ByteReader): DeferredChange {
  const kind = kinds[reader.u8()]
  const [first, second, third] = [reader.f64(), reader.f64(), reader.f64()]
  switch (kind) {
    case 'kill':
      return { kind, from: first, to: second }
    case 'redeliver':
      return { kind, sequence: first, deliveryCount: second, notBefore: third }
    case 'relocate':
      return { kind, sequence: first, location: second, bytes: third, hasParts: reader.u8() !== 0 }
    case undefined:
      throw new Error('a checkpoint tells of a change of unknown kind')
    default:
      throw new Error(kind satisfies never)
  }
}

function several<T>(count: number, read: () => T): T[] {
  const all: T[] = []
  for (let left = count; left > 0; left -= 1) all.push(read())
  return all
}
