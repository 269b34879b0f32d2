import type { Clock } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { RecordType } from './frame.ts'
import type { Change, JournalBatch } from './journal-batch.ts'
import { JournalFrame, type Part } from './journal-frame.ts'
import type { JournalSizes } from './journal-limits.ts'
import type { Disk } from './log/disk.ts'
import { MessageEncoder } from './message-codec.ts'
import { Patience, type Waiting } from './patience.ts'
import type { Segments } from './segments.ts'
import type { CommitDone } from './store.ts'

/** The error of a store that cannot be opened, written or read. */
export function storeFailed(done: string, cause: unknown): BrokerError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new BrokerError('store-failed', `the store cannot be ${done}: ${reason}`, { cause })
}

interface PendingBatch extends Waiting {
  readonly done: CommitDone
  /** Changes that are in frames already, and parts of the next one's body. */
  written: number
  parts: Part[]
}

export interface WriterEvents {
  /** Something to wait for before a frame that is on disk is confirmed, if there is. */
  check(): Promise<void> | undefined
  /** The frame is on disk: apply it. Its batches are told afterwards. */
  flown(frame: JournalFrame): void
  /** Nothing can be written any more. */
  failed(error: BrokerError): void
}

/**
 * Turns batches into frames and frames into flushed bytes. One frame is on its way at a time and covers all that was committed
 * while the one before it was; a batch too long for one frame goes on in the next. What consumers accept while it waits is never
 * written, and under load it waits a little for that.
 */
export class JournalWriter {
  /** How often the store had been opened, this time included. */
  epoch: number
  nextFrame: number
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #segments: Segments
  readonly #sizes: JournalSizes
  readonly #events: WriterEvents
  readonly #patience: Patience
  readonly #pending: PendingBatch[]
  #pendingBytes: number
  #building: JournalFrame
  #flying: JournalFrame
  #isFlying: boolean
  #isRolling: boolean
  /** The disk has been given a frame and has not answered. */
  #isCommitting: boolean
  #failure: BrokerError | undefined
  /** Who is to be told, in this order, that what they committed is safe. */
  readonly #safe: CommitDone[]
  #isTelling: boolean
  #onIdle: (() => void)[]
  #onLanded: (() => void)[]

  constructor(
    disk: Disk,
    clock: Clock,
    segments: Segments,
    sizes: JournalSizes,
    patienceMs: number,
    events: WriterEvents,
  ) {
    this.epoch = 1
    this.nextFrame = 1
    this.#disk = disk
    this.#clock = clock
    this.#segments = segments
    this.#sizes = sizes
    this.#events = events
    this.#patience = new Patience(clock, sizes.patientBytes, patienceMs, () => this.#pump())
    this.#pending = []
    this.#pendingBytes = 0
    const encoder = new MessageEncoder()
    this.#building = new JournalFrame(disk.allocate(sizes.frameBytesMax), encoder, sizes.partBytes)
    this.#flying = new JournalFrame(disk.allocate(sizes.frameBytesMax), encoder, sizes.partBytes)
    this.#isFlying = false
    this.#isRolling = false
    this.#isCommitting = false
    this.#failure = undefined
    this.#safe = []
    this.#isTelling = false
    this.#onIdle = []
    this.#onLanded = []
  }

  get failure(): BrokerError | undefined {
    return this.#failure
  }

  commit(batch: JournalBatch, done: CommitDone): void {
    const failure = this.#failure
    if (failure !== undefined) {
      queueMicrotask(() => done(failure))
      return
    }
    const watched = this.#patience.watch(batch, done)
    this.#pending.push({ batch, done: watched, since: this.#clock.now(), hasWaited: false, written: 0, parts: [] })
    this.#pendingBytes += batch.bytes
    this.#cancelAccepted(batch)
    this.#pump()
  }

  /** Resolves once the disk is at work for this writer no more, even if it has failed meanwhile: files can be closed then. */
  landed(): Promise<void> {
    if (!this.#isCommitting) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onLanded.push(resolve)
    })
  }

  /** Resolves once everything committed is on disk, or nothing can be any more. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle.push(resolve)
      this.#pump()
    })
  }

  get #isIdle(): boolean {
    return this.#failure !== undefined || (!this.#isFlying && this.#pending.length === 0)
  }

  /** Puts that wait unwritten while a consumer has accepted the message already are never written, nor that it has. */
  #cancelAccepted(batch: JournalBatch): void {
    for (const final of batch.finals) {
      const { owner, sequence, number } = final
      let left = number - sequence + 1
      for (const { batch: other, written, parts } of this.#pending) {
        // Of a batch that has been begun, the parts of one body would be taken for those of the next.
        if (written === 0 && parts.length === 0) left -= other.cancelPuts(owner, sequence, number)
        if (left === 0) break
      }
      if (left === 0) batch.cancel(final)
      this.#patience.accepted(owner, sequence, number)
    }
  }

  /** Keeps one frame on its way, and while it is, fills the next one if there is much to fill it with. */
  #pump(): void {
    if (this.#isRolling || this.#failure !== undefined) return
    if (!this.#isFlying) this.#begin()
    else if (this.#pendingBytes >= this.#sizes.eagerBytes) this.#fill(this.#building)
    this.#tell()
  }

  /** Sends the next frame off, if there is anything to write. */
  #begin(): void {
    const frame = this.#building
    if (frame.isEmpty) this.#land(frame)
    this.#fill(frame)
    if (frame.isEmpty) return
    this.#building = this.#flying
    this.#flying = frame
    this.#isFlying = true
    this.#send(frame)
  }

  #send(frame: JournalFrame): void {
    const { place } = frame
    if (place === undefined) throw new Error('the frame has no place')
    const bytes = frame.finish(this.epoch, this.nextFrame)
    place.segment.usedBytes = place.offset + bytes
    this.nextFrame += 1
    this.#isCommitting = true
    this.#disk.commit(place.segment.file, frame.memory, bytes, place.offset, (error) => {
      this.#isCommitting = false
      for (const resolve of this.#onLanded.splice(0)) resolve()
      if (error === undefined) this.#checked(frame)
      else this.fail(error)
    })
  }

  #checked(frame: JournalFrame): void {
    const check = this.#events.check()
    if (check === undefined) this.#flown(frame)
    else
      check.then(
        () => this.#flown(frame),
        (error: unknown) => this.fail(error),
      )
  }

  /** The next frame goes off before this one is applied, so that the disk does not wait for that. */
  #flown(frame: JournalFrame): void {
    if (this.#failure !== undefined) return
    this.#isTelling = true
    this.#isFlying = false
    this.#land(frame)
    if (!this.#isRolling) this.#begin()
    this.#events.flown(frame)
    frame.release()
    this.#isTelling = false
    this.#tell()
    this.#pump()
  }

  /** What the frame holds is safe. */
  #land(frame: JournalFrame): void {
    this.#safe.push(...frame.done.splice(0))
  }

  /** Tells all whose commits are safe, also those that become so meanwhile. */
  #tell(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    for (let done = this.#safe.shift(); done !== undefined; done = this.#safe.shift()) done()
    this.#isTelling = false
    if (this.#onIdle.length > 0 && this.#isIdle) for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  /** Encodes what waits, as far as it fits and may not wait longer. */
  #fill(frame: JournalFrame): void {
    while (!frame.isFull) {
      const next = this.#pending[0]
      if (next === undefined || this.#mayWait(next)) return
      if (next.batch.isSpent) this.#patience.spent(next)
      else {
        if (!this.#place(frame, next)) return
        if (!this.#encode(frame, next)) {
          if (!frame.isEmpty) return
          // What fitted there has been taken back; the next change needs a larger place.
          frame.release()
          continue
        }
      }
      this.#pending.shift()
      this.#pendingBytes -= next.batch.bytes
      const isSafe = frame.isEmpty && !this.#isFlying
      if (isSafe) this.#safe.push(next.done)
      else frame.done.push(next.done)
    }
  }

  #mayWait(next: PendingBatch): boolean {
    return next.written === 0 && this.#onIdle.length === 0 && this.#patience.mayWait(next)
  }

  /** Gives the frame a place with room for at least the next change. */
  #place(frame: JournalFrame, next: PendingBatch): boolean {
    if (frame.place !== undefined) return true
    const change = next.batch.changes[next.written]
    const place = this.#segments.place(
      Math.min(this.#sizes.frameBytesMax, change === undefined ? 0 : frame.needOf(change)),
    )
    if (place === undefined) {
      this.#roll()
      return false
    }
    frame.begin(place)
    return true
  }

  /**
   * Encodes a batch. One that does not fit behind others waits for a frame of its own, since those must not wait for its end;
   * one that does not fit in a frame of its own goes on in the next. True if all of it is in.
   */
  #encode(frame: JournalFrame, pending: PendingBatch): boolean {
    const isFirst = frame.isEmpty
    const mark = frame.mark()
    const { changes } = pending.batch
    for (let index = pending.written; index < changes.length; index += 1) {
      const change = changes[index] as Change
      if (change.isCancelled || this.#add(frame, change, pending)) continue
      frame.isFull = true
      if (isFirst) {
        pending.written = index
        frame.continues = true
      } else {
        frame.rewind(mark)
        pending.parts = []
      }
      return false
    }
    return true
  }

  #add(frame: JournalFrame, change: Change, pending: PendingBatch): boolean {
    const { message, type } = change
    const isBody = type === RecordType.put || type === RecordType.rewrite
    if (!isBody || message === undefined || message.content.length <= this.#sizes.partBytes) return frame.add(change)
    const { content } = message
    const { partBytes } = this.#sizes
    for (let at = pending.parts.length * partBytes; at < content.length; at += partBytes) {
      const part = content.subarray(at, at + partBytes)
      const location = frame.addPart(change, part)
      if (location === undefined) return false
      pending.parts.push({ location, length: part.length })
    }
    if (!frame.addPutOfParts(change, message, pending.parts)) return false
    pending.parts = []
    return true
  }

  #roll(): void {
    if (this.#isRolling) return
    this.#isRolling = true
    this.#segments.roll().then(
      () => {
        this.#isRolling = false
        this.#pump()
      },
      (error: unknown) => this.fail(error),
    )
  }

  /** After a failed write or flush nobody knows what is on disk: nothing is tried again, recovery decides. */
  fail(cause: unknown): void {
    if (this.#failure !== undefined) return
    const error = cause instanceof BrokerError ? cause : storeFailed('written', cause)
    this.#failure = error
    const waiting = [
      ...this.#flying.done.splice(0),
      ...this.#building.done.splice(0),
      ...this.#pending.splice(0).map(({ done }) => done),
    ]
    this.#patience.stop()
    this.#events.failed(error)
    for (const done of waiting) done(error)
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }
}
