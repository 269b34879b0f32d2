import { noBytes } from '../cursor.ts'
import type { CarrierEvents, Transport, TransportEvents } from './wire-peer.ts'

const slabBytes = 64 * 1024
const slabsKept = 8
/** Bytes handed over and not yet taken above which nothing more should be written. */
const highBytes = 1024 * 1024

/** What carries bytes to the broker. */
export interface Carrier {
  /** Sends the bytes; calls back when it needs them no more. `mayChange`: nobody else will look at them. */
  write(bytes: Uint8Array, done: () => void, mayChange: boolean): void
  /** Several writes that may go as one follow. */
  cork?(): void
  uncork?(): void
  /** The peer has been told all there is: ends when that is written. */
  end(): void
  /** Ends at once. */
  destroy(): void
}

/** Opens a transport over what carries bytes. `allocate`: memory for what is written. */
export function carried(
  open: (events: CarrierEvents) => Promise<Carrier>,
  allocate: (bytes: number) => Uint8Array,
): (events: TransportEvents) => Promise<Transport> {
  return async (events) => new Outbox(await open(events), allocate, events)
}

/** Bytes on their way to the broker: written into slabs, handed over once for all that was written in one go. */
export class Outbox implements Transport {
  buffer: Uint8Array
  position: number
  readonly #carrier: Carrier
  readonly #allocate: (bytes: number) => Uint8Array
  readonly #events: TransportEvents
  readonly #free: Uint8Array[]
  /** Of what comes from a slab, the last piece has it to give back. */
  #pieces: { readonly bytes: Uint8Array; readonly isOurs: boolean; slab: Uint8Array | undefined }[]
  /** Where in `buffer` begins what is in no piece yet. */
  #start: number
  #waitingBytes: number
  #isDirty: boolean
  #isCongested: boolean

  constructor(carrier: Carrier, allocate: (bytes: number) => Uint8Array, events: TransportEvents) {
    this.buffer = noBytes
    this.position = 0
    this.#carrier = carrier
    this.#allocate = allocate
    this.#events = events
    this.#free = []
    this.#pieces = []
    this.#start = 0
    this.#waitingBytes = 0
    this.#isDirty = false
    this.#isCongested = false
  }

  get isCongested(): boolean {
    return this.#isCongested
  }

  reserve(bytes: number): void {
    if (this.buffer.length - this.position < bytes) this.#roll(bytes)
    if (!this.#isDirty) this.#soil()
  }

  write(bytes: Uint8Array): void {
    if (bytes.length < 8 * 1024) {
      this.reserve(bytes.length)
      this.buffer.set(bytes, this.position)
      this.position += bytes.length
      return
    }
    this.#cut()
    this.#add(bytes, false)
    if (!this.#isDirty) this.#soil()
  }

  /** Hands over what has been written. */
  flush(): void {
    this.#isDirty = false
    this.#leave()
    const pieces = this.#pieces
    if (pieces.length === 0) return
    this.#pieces = []
    if (pieces.length > 1) this.#carrier.cork?.()
    for (const { bytes, isOurs, slab } of pieces) {
      this.#carrier.write(bytes, () => this.#taken(bytes.length, slab), isOurs)
    }
    if (pieces.length > 1) this.#carrier.uncork?.()
  }

  end(): void {
    this.#carrier.end()
  }

  destroy(): void {
    this.#carrier.destroy()
  }

  #soil(): void {
    this.#isDirty = true
    this.#events.dirty()
  }

  #roll(bytes: number): void {
    this.#leave()
    this.buffer = bytes > slabBytes ? this.#allocate(bytes) : (this.#free.pop() ?? this.#allocate(slabBytes))
  }

  /** Makes a piece of what has been written since the last. */
  #cut(): void {
    if (this.position > this.#start) this.#add(this.buffer.subarray(this.#start, this.position), true)
    this.#start = this.position
  }

  /** Goes on in no slab. */
  #leave(): void {
    if (this.position === 0) return
    this.#cut()
    const last = this.#pieces.at(-1)
    if (last !== undefined) last.slab = this.buffer
    this.buffer = noBytes
    this.position = 0
    this.#start = 0
  }

  #add(bytes: Uint8Array, isOurs: boolean): void {
    this.#pieces.push({ bytes, isOurs, slab: undefined })
    this.#waitingBytes += bytes.length
    if (this.#waitingBytes > highBytes) this.#isCongested = true
  }

  #taken(bytes: number, slab: Uint8Array | undefined): void {
    this.#waitingBytes -= bytes
    if (slab !== undefined && slab.length === slabBytes && this.#free.length < slabsKept) this.#free.push(slab)
    if (!this.#isCongested || this.#waitingBytes > highBytes / 2) return
    this.#isCongested = false
    this.#events.drained()
  }
}
