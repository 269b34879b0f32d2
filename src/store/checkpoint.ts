/**
 * A checkpoint: what the journal had come to at the end of one frame, so that recovery need not read what came before.
 *
 *      0  u32  magic
 *      4  u32  CRC-32 of everything after it
 *      8  u32  format version
 *     12  u32  reserved
 *     16       the state, as V8 serialises it
 */
import { deserialize, serialize } from 'node:v8'
import { crc32 } from 'node:zlib'
import type { Part } from './journal-frame.ts'
import type { JournalIndex } from './journal-index.ts'
import {
  Directory,
  type EntryHistory,
  IndexPage,
  type Location,
  OwnerIndex,
  type PageColumns,
} from './pending-index.ts'
import type { Segments } from './segments.ts'
import type { OwnerSpec } from './store.ts'

const magic = 0x4b43_4d4d
const version = 1
const headBytes = 16

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
  readonly owners: readonly OwnerState[]
  readonly parts: readonly (readonly [Location, readonly Part[]])[]
  readonly states: readonly (readonly [string, Uint8Array])[]
  readonly segments: readonly SegmentState[]
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
  readonly directories: readonly (readonly PageState[] | undefined)[]
}

interface PageState {
  readonly length: number
  readonly columns: PageColumns
  readonly dead: Uint8Array | undefined
  readonly history: readonly (readonly [number, EntryHistory])[]
}

/** Takes everything down as bytes. */
export function encodeCheckpoint(head: CheckpointHead, index: JournalIndex, segments: Segments): Buffer {
  const state: Checkpoint = {
    ...head,
    lastOwner: index.lastOwner,
    owners: [...index.owners.values()].map(ownerState),
    parts: [...index.parts],
    states: [...index.states],
    segments: [...segments.all].map(({ id, usedBytes }) => ({ id, usedBytes })),
  }
  const body = serialize(state)
  const bytes = Buffer.allocUnsafe(headBytes + body.length)
  bytes.writeUInt32LE(magic, 0)
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(0, 12)
  body.copy(bytes, headBytes)
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
  return bytes
}

/** Reads a checkpoint; undefined if the bytes are none, or not whole. Throws for one of a newer version. */
export function decodeCheckpoint(bytes: Buffer): Checkpoint | undefined {
  if (bytes.length < headBytes || bytes.readUInt32LE(0) !== magic) return undefined
  if (crc32(bytes.subarray(8)) !== bytes.readUInt32LE(4)) return undefined
  const found = bytes.readUInt32LE(8)
  if (found > version) throw new Error(`the store has format ${found}; this broker knows formats up to ${version}`)
  return deserialize(bytes.subarray(headBytes)) as Checkpoint
}

/** Puts the state back. */
export function restoreCheckpoint(checkpoint: Checkpoint, index: JournalIndex, segments: Segments): void {
  index.lastOwner = checkpoint.lastOwner
  for (const { id, usedBytes } of checkpoint.segments) {
    const segment = segments.segment(id)
    if (segment !== undefined) segment.usedBytes = usedBytes
  }
  for (const [location, parts] of checkpoint.parts) index.parts.set(location, parts)
  for (const [key, value] of checkpoint.states) index.states.set(key, value)
  for (const state of checkpoint.owners) index.owners.set(state.id, restoreOwner(state))
  index.recount()
}

function ownerState(owner: OwnerIndex): OwnerState {
  return {
    id: owner.id,
    spec: owner.spec,
    lastSequence: owner.lastSequence,
    horizon: owner.horizon,
    seenUpTo: owner.seenUpTo,
    directories: owner.directories.map((directory) => directory?.pages.map(pageState)),
  }
}

function pageState(page: IndexPage): PageState {
  const { sequences, locations, lengths } = page.columns
  return {
    length: page.length,
    columns: {
      sequences: sequences.slice(0, page.length),
      locations: locations.slice(0, page.length),
      lengths: lengths.slice(0, page.length),
    },
    dead: page.dead?.slice(),
    history: [...(page.history ?? [])],
  }
}

function restoreOwner(state: OwnerState): OwnerIndex {
  const owner = new OwnerIndex(state.id, state.spec)
  owner.lastSequence = state.lastSequence
  owner.horizon = state.horizon
  owner.seenUpTo = state.seenUpTo
  for (const [priority, pages] of state.directories.entries()) {
    if (pages !== undefined) owner.directories[priority] = restoreDirectory(pages)
  }
  return owner
}

function restoreDirectory(pages: readonly PageState[]): Directory {
  const directory = new Directory()
  for (const state of pages) {
    const page = new IndexPage()
    const { sequences, locations, lengths } = state.columns
    for (let index = 0; index < state.length; index += 1) {
      page.append(sequences[index] as number, locations[index] as number, lengths[index] as number)
    }
    for (let index = 0; index < state.length; index += 1) {
      if (state.dead !== undefined && ((state.dead[index >> 3] as number) & (1 << (index & 7))) !== 0)
        page.kill(index, nobody)
    }
    if (state.history.length > 0) page.history = new Map(state.history)
    directory.pages.push(page)
    directory.liveCount += page.liveCount
  }
  return directory
}

const nobody = { add: () => undefined }
