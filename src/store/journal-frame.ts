import type { Message } from '../message.ts'
import { copyInto } from './copy.ts'
import {
  blockBytes,
  blockHeaderBytes,
  endBlock,
  frameHeaderBytes,
  RecordType,
  recordHeaderBytes,
  stateIsRemoved,
  writeFrameHeader,
  writeRecord,
} from './frame.ts'
import type { Change, StateChange } from './journal-batch.ts'
import { type Location, locationOf } from './location.ts'
import type { MessageEncoder } from './message-codec.ts'
import type { Place } from './segments.ts'
import type { CommitDone } from './store.ts'

/** Before the message in a put's payload: f64 not before. */
export const putHeadBytes = 8
/** At the end of a put whose body is in parts: f64 location and u32 length of each, then u32 how many. */
export const partEntryBytes = 12
/** Changes for which a frame has room at first. */
const startChanges = 1024
/** The longest specification of an owner. */
const specBytesMax = 64 * 1024
/** Set in the flags of a put record whose content is in parts. */
export const putHasParts = 1

/** The most that a record takes besides its payload. */
const recordRoom = frameHeaderBytes + blockHeaderBytes + recordHeaderBytes

/** One frame while it is filled and until it is on disk. Reused. */
export class JournalFrame {
  readonly memory: Buffer
  /** Of the same memory. */
  readonly #view: DataView
  readonly #encoder: MessageEncoder
  readonly #partBytes: number
  place: Place | undefined
  number: number
  /** What it changes, in order; for a put also where its payload is. */
  readonly changes: Change[]
  locations: Float64Array
  lengths: Uint32Array
  /** Of the changes by their index, those of bodies in parts. */
  readonly parts: Map<number, readonly Part[]>
  /** Who is told once it is on disk, and all that was before. */
  readonly done: CommitDone[]
  /** True if its last batch goes on in the next frame. */
  continues: boolean
  /** True if the next batch did not fit. */
  isFull: boolean
  recordCount: number
  #at: number
  /** Where the block starts that records are added to; 0 if there is none. */
  #block: number
  #capacity: number
  /** The put that another one right behind it may refer to. */
  #lastMessage: Message | undefined
  #lastNumber: number
  #lastLocation: Location
  #lastBytes: number

  constructor(memory: Buffer, encoder: MessageEncoder, partBytes: number) {
    this.memory = memory
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.length)
    this.#encoder = encoder
    this.#partBytes = partBytes
    this.place = undefined
    this.number = 0
    this.changes = []
    this.locations = new Float64Array(startChanges)
    this.lengths = new Uint32Array(startChanges)
    this.parts = new Map()
    this.done = []
    this.continues = false
    this.isFull = false
    this.recordCount = 0
    this.#at = frameHeaderBytes
    this.#block = 0
    this.#capacity = 0
    this.#lastMessage = undefined
    this.#lastNumber = 0
    this.#lastLocation = 0
    this.#lastBytes = 0
  }

  get isEmpty(): boolean {
    return this.recordCount === 0
  }

  /** Bytes that a frame needs for one change and nothing else. */
  needOf(change: Change): number {
    const { message } = change
    if (change.state !== undefined) return recordRoom + stateBytes(change.state)
    const payload = message === undefined ? specBytesMax : this.#encoder.size(message) - message.content.length
    const content = message === undefined ? 0 : Math.min(message.content.length, this.#partBytes)
    const partsBytes = message === undefined ? 0 : Math.ceil(message.content.length / this.#partBytes) * partEntryBytes
    return 2 * recordRoom + payload + content + partsBytes + putHeadBytes + 4
  }

  get bytes(): number {
    return this.#at
  }

  /** Starts it anew at a place. */
  begin(place: Place): void {
    this.place = place
    this.isFull = false
    this.changes.length = 0
    this.parts.clear()
    this.continues = false
    this.recordCount = 0
    this.#at = frameHeaderBytes
    this.#block = 0
    this.#capacity = Math.min(place.room, this.memory.length)
    this.#lastMessage = undefined
  }

  /** It is on disk and applied: it may be filled again. */
  release(): void {
    this.place = undefined
    this.isFull = false
    this.recordCount = 0
  }

  /** Marks a point to come back to when a batch turns out not to fit. */
  mark(): FrameMark {
    const { recordCount, changes } = this
    return { at: this.#at, block: this.#block, recordCount, changes: changes.length }
  }

  rewind(mark: FrameMark): void {
    this.#at = mark.at
    this.#block = mark.block
    this.recordCount = mark.recordCount
    this.changes.length = mark.changes
    for (const index of this.parts.keys()) if (index >= mark.changes) this.parts.delete(index)
    this.#lastMessage = undefined
  }

  /** Adds one change whose message, if any, is not in parts. False if there is no room for it. */
  add(change: Change): boolean {
    switch (change.type) {
      case RecordType.put:
      case RecordType.rewrite:
        return change.message !== undefined && this.#put(change, change.message)
      case RecordType.ack:
        return this.#small(change, 8, (_, view, at) => view.setFloat64(at, change.number, true))
      case RecordType.redeliver:
        return this.#small(change, 12, (_, view, at) => {
          view.setUint32(at, change.deliveryCount, true)
          view.setFloat64(at + 4, change.number, true)
        })
      case RecordType.define: {
        const spec = Buffer.from(JSON.stringify(change.spec))
        return this.#small(change, spec.length, (memory, _, at) => memory.set(spec, at))
      }
      case RecordType.state:
        return change.state !== undefined && this.#state(change, change.state)
      case RecordType.remove:
      case RecordType.horizon:
      case RecordType.epoch:
        return this.#small(change, 0, () => undefined)
      default:
        throw new Error(`a change of type ${change.type} is none`)
    }
  }

  /** Adds a part of a long body. Returns where it is, or undefined if there is no room. */
  addPart(change: Change, bytes: Uint8Array): Location | undefined {
    const at = this.#record(change, bytes.length, RecordType.part)
    if (at < 0) return undefined
    copyInto(this.memory, bytes, at)
    return this.#locationAt(at)
  }

  /** Adds a put whose body has been written in parts. */
  addPutOfParts(change: Change, message: Message, parts: readonly Part[]): boolean {
    const headBytes = this.#encoder.size(message) - message.content.length
    const bytes = putHeadBytes + headBytes + 4 + parts.length * partEntryBytes
    const at = this.#record(change, bytes)
    if (at < 0) return false
    const view = this.#view
    view.setUint8(at - recordHeaderBytes + 1, putHasParts)
    view.setFloat64(at, change.number, true)
    let end = this.#encoder.write(message, this.memory, view, at + putHeadBytes)
    for (const { location, length } of parts) {
      view.setFloat64(end, location, true)
      view.setUint32(end + 8, length, true)
      end += partEntryBytes
    }
    view.setUint32(end, parts.length, true)
    this.#note(change, this.#locationAt(at), bytes, parts)
    return true
  }

  /** Writes the header; the disk seals it. Returns the length of the whole. */
  finish(epoch: number, number: number): number {
    const { id: segment } = this.#placed().segment
    const { recordCount, continues } = this
    this.number = number
    this.#endBlock()
    writeFrameHeader(this.memory, { bytes: this.#at, recordCount, epoch, segment, number, continues })
    return this.#at
  }

  #put(change: Change, message: Message): boolean {
    const isSame = message === this.#lastMessage && change.number === this.#lastNumber
    if (isSame && change.type === RecordType.put) return this.#reference(change)
    const bytes = putHeadBytes + this.#encoder.size(message)
    const at = this.#record(change, bytes)
    if (at < 0) return false
    this.#view.setFloat64(at, change.number, true)
    copyInto(this.memory, message.content, this.#encoder.write(message, this.memory, this.#view, at + putHeadBytes))
    this.#lastMessage = message
    this.#lastNumber = change.number
    this.#lastLocation = this.#locationAt(at)
    this.#lastBytes = bytes
    this.#note(change, this.#lastLocation, bytes)
    return true
  }

  #reference(change: Change): boolean {
    const at = this.#record(change, 12, RecordType.reference)
    if (at < 0) return false
    this.#view.setFloat64(at, this.#lastLocation, true)
    this.#view.setUint32(at + 8, this.#lastBytes, true)
    this.#note(change, this.#lastLocation, this.#lastBytes)
    return true
  }

  #state(change: Change, state: StateChange): boolean {
    const { key, value } = state
    const at = this.#record(change, stateBytes(state))
    if (at < 0) return false
    const { memory } = this
    const keyBytes = memory.write(key, at + 2)
    memory.writeUInt16LE(keyBytes, at)
    if (value === undefined) memory[at - recordHeaderBytes + 1] = stateIsRemoved
    else copyInto(memory, value, at + 2 + keyBytes)
    this.#note(change, 0, 0)
    return true
  }

  #small(change: Change, bytes: number, fill: (memory: Buffer, view: DataView, at: number) => void): boolean {
    const at = this.#record(change, bytes)
    if (at < 0) return false
    fill(this.memory, this.#view, at)
    this.#note(change, 0, 0)
    return true
  }

  /** Writes a record header and takes the room for its payload. -1 if there is none. */
  #record(change: Change, payloadBytes: number, type: RecordType = change.type): number {
    const bytes = recordHeaderBytes + payloadBytes
    let start = this.#at
    const isFirst = this.#block === 0 || start - this.#block >= blockBytes || bytes > blockBytes
    if (isFirst) start += blockHeaderBytes
    if (start + bytes > this.#capacity) return -1
    if (isFirst) {
      this.#endBlock()
      this.#block = start - blockHeaderBytes
    }
    this.#at = start + bytes
    this.recordCount += 1
    return writeRecord(this.#view, start, type, change, start - this.#block, payloadBytes)
  }

  #endBlock(): void {
    if (this.#block !== 0) endBlock(this.memory, this.#block, this.#at)
  }

  #note(change: Change, location: Location, bytes: number, parts?: readonly Part[]): void {
    const index = this.changes.length
    this.changes.push(change)
    if (index === this.locations.length) this.#growPlaces()
    this.locations[index] = location
    this.lengths[index] = bytes
    if (parts !== undefined) this.parts.set(index, parts)
  }

  #growPlaces(): void {
    const { locations, lengths } = this
    this.locations = new Float64Array(2 * locations.length)
    this.locations.set(locations)
    this.lengths = new Uint32Array(2 * lengths.length)
    this.lengths.set(lengths)
  }

  #locationAt(at: number): Location {
    const { segment, offset } = this.#placed()
    return locationOf(segment.id, offset + at)
  }

  #placed(): Place {
    if (this.place === undefined) throw new Error('the frame has no place')
    return this.place
  }
}

function stateBytes({ key, value }: StateChange): number {
  return 2 + Buffer.byteLength(key) + (value?.length ?? 0)
}

export interface FrameMark {
  readonly at: number
  readonly block: number
  readonly recordCount: number
  readonly changes: number
}

export interface Part {
  readonly location: Location
  readonly length: number
}
