import type { Clock, Timer } from '../clock.ts'
import { ByteWriter } from './byte-writer.ts'
import {
  type Checkpoint,
  decodeCheckpoint,
  sealCheckpoint,
  slotsOf,
  writeCheckpoint,
  writeOwner,
} from './checkpoint.ts'
import { restoreCheckpoint } from './checkpoint-restore.ts'
import type { JournalFrame } from './journal-frame.ts'
import type { JournalIndex } from './journal-index.ts'
import { checkpointMs, deadSegmentsMax, drainedMs, type JournalSizes } from './journal-limits.ts'
import type { Damage } from './journal-scan.ts'
import type { Disk } from './log/disk.ts'
import type { OwnerIndex } from './owner-index.ts'
import type { PageImage } from './page-codec.ts'
import type { Segment, Segments } from './segments.ts'

const names = ['ckpt-A', 'ckpt-B'] as const
/** Of owners so many frames' length is taken down in one go. */
const framesAtOnce = 1 / 64
/** Keys whose small state is taken down in one go. */
const statesAtOnce = 2_000

export interface CheckpointEvents {
  /** Flushes the frames that a checkpoint is about to rely on. */
  flush(): Promise<void>
  /** A checkpoint is on disk. */
  made(): void
  /** None can be made. */
  failed(error: unknown): void
}

/**
 * Makes a checkpoint every so often, in two files by turns, so that one is always whole. A segment is given up only when it was
 * dead in a checkpoint that is on disk: until then recovery may need it.
 */
export class Checkpoints {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #index: JournalIndex
  readonly #segments: Segments
  readonly #checkpointBytes: number
  readonly #bytesAtOnce: number
  readonly #events: CheckpointEvents
  /** What restoring has met. */
  readonly damages: Damage[]
  readonly #writer: ByteWriter
  #number: number
  #epoch: number
  /** The end of the last frame applied. */
  #segment: number
  #offset: number
  #frame: number
  #bytesSince: number
  /** The last frame applied is not the end of its batch: what is there is no state to take down. */
  #isMidBatch: boolean
  /** It is time, but for the end of the batch. */
  #isDue: boolean
  #underWay: Promise<void> | undefined
  #timer: Timer | undefined
  #timerAt: number
  #isStopped: boolean
  #onBatchEnd: () => void

  constructor(
    disk: Disk,
    clock: Clock,
    index: JournalIndex,
    segments: Segments,
    sizes: JournalSizes,
    events: CheckpointEvents,
  ) {
    this.#disk = disk
    this.#clock = clock
    this.#index = index
    this.#segments = segments
    this.#checkpointBytes = sizes.checkpointBytes
    this.#bytesAtOnce = sizes.frameBytesMax * framesAtOnce
    this.#events = events
    this.damages = []
    this.#writer = new ByteWriter()
    this.#number = 0
    this.#epoch = 0
    this.#segment = 0
    this.#offset = 0
    this.#frame = 0
    this.#bytesSince = 0
    this.#isMidBatch = false
    this.#isDue = false
    this.#underWay = undefined
    this.#timer = undefined
    this.#timerAt = 0
    this.#isStopped = false
    this.#onBatchEnd = () => undefined
  }

  /** Puts back the newest checkpoint that is whole, if there is one, and deletes segments that it does not need. */
  async restore(): Promise<Checkpoint | undefined> {
    const newest = await this.#newest()
    if (newest === undefined) {
      await this.#index.cache.files.open([])
      return undefined
    }
    this.#number = newest.number
    // A process that was killed may have left it in the operating system's memory, while what it needs no more goes for good.
    await this.#index.cache.files.flushAll()
    const file = await this.#disk.open(names[newest.number % 2] as string)
    await this.#disk.flush(file)
    await file.close()
    await this.#disk.flushFolder()
    const needed = new Set(newest.segments.map(({ id }) => id))
    for (const segment of [...this.#segments.all]) {
      if (segment.id < newest.segment && !needed.has(segment.id)) await this.#segments.recycle(segment)
    }
    await restoreCheckpoint(newest, this.#index, this.#segments)
    return newest
  }

  async #newest(): Promise<Checkpoint | undefined> {
    const present = await this.#disk.list()
    const found: Checkpoint[] = []
    for (const name of names) {
      if (!present.includes(name)) continue
      const checkpoint = decodeCheckpoint(await this.#disk.readFile(name))
      if (checkpoint !== undefined) found.push(checkpoint)
      else await this.#putAside(name)
    }
    found.sort((left, right) => right.number - left.number)
    for (const checkpoint of found) {
      if (await this.#index.cache.files.open(slotsOf(checkpoint))) return checkpoint
      this.#report(`${names[checkpoint.number % 2]} refers to pages of the index that are not there`)
    }
    return undefined
  }

  /** What cannot be read is kept for whoever wants to look at it. */
  async #putAside(name: string): Promise<void> {
    await this.#disk.rename(name, `damaged-${name}`)
    this.#report(`${name} is not whole: a crash has cut it short, or it is damaged; it is kept as damaged-${name}`)
  }

  #report(reason: string): void {
    this.damages.push({ segment: 0, offset: 0, bytes: 0, reason })
  }

  /** A frame has been applied. */
  advance(frame: JournalFrame, epoch: number): void {
    if (frame.place === undefined) return
    this.#epoch = epoch
    this.#isMidBatch = frame.continues
    if (!frame.continues) {
      this.#segment = frame.place.segment.id
      this.#offset = frame.place.offset + frame.bytes
      this.#frame = frame.number + 1
    }
    this.#bytesSince += frame.bytes
    if (!frame.continues) this.#onBatchEnd()
    if (frame.continues || this.#isStopped) return
    if (this.#isDue || this.#bytesSince >= this.#checkpointBytes) this.#begin()
    else this.#schedule(this.#segments.deadCount > deadSegmentsMax ? drainedMs : checkpointMs)
  }

  stop(): void {
    this.#isStopped = true
    this.#onBatchEnd()
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** The last one, which says that everything is in order. */
  async close(): Promise<void> {
    this.stop()
    await this.#underWay
    await this.#make(true)
  }

  /** In `ms` at the latest. */
  #schedule(ms: number): void {
    const at = this.#clock.now() + ms
    if (this.#timer !== undefined) {
      if (this.#timerAt <= at) return
      this.#timer.cancel()
    }
    this.#timerAt = at
    this.#timer = this.#clock.after(ms, () => this.#begin(true))
  }

  /** `isQuiet`: so little has been written since the last one that it was the time that made it due. */
  #begin(isQuiet = false): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#underWay !== undefined || this.#isStopped) return
    this.#isDue = this.#isMidBatch
    if (this.#isDue) return
    this.#underWay = this.#make(false)
      .then(() => (isQuiet ? this.#tidy() : undefined))
      .catch((error: unknown) => {
        if (!this.#isStopped) this.#events.failed(error)
        this.stop()
      })
      .finally(() => {
        this.#underWay = undefined
      })
  }

  /** Gives back what is not needed when there is little to do. What this checkpoint has let go may take two more to be free. */
  async #tidy(): Promise<void> {
    await this.#segments.trim()
    if (this.#index.cache.files.isWaiting && !this.#isStopped) this.#schedule(drainedMs)
  }

  async #make(isClean: boolean): Promise<void> {
    this.#number += 1
    this.#bytesSince = 0
    const head = {
      number: this.#number,
      epoch: this.#epoch,
      segment: this.#segment,
      offset: this.#offset,
      frame: this.#frame,
      isClean,
    }
    const dead = [...this.#segments.all].filter((segment) => isDead(segment) && segment.id < this.#segment)
    const { cache } = this.#index
    this.#index.pruneParts()
    const writer = this.#writer
    writer.clear()
    writeCheckpoint(writer, head, this.#index, this.#segments)
    cache.files.snapshotTaken()
    const images = await this.#writeOwners(writer)
    await cache.write(images)
    await this.#writeStates(writer)
    const { bytes } = writer
    sealCheckpoint(bytes)
    await this.#events.flush()
    await this.#disk.writeFile(names[head.number % 2] as string, bytes)
    await this.#disk.flushFolder()
    await cache.files.snapshotDurable()
    for (const segment of dead) await this.#segments.recycle(segment)
    if (!isClean) this.#events.made()
  }

  /**
   * The owners as they are now, a little at a time: whichever is about to change meanwhile is taken down before it does. Returns
   * the pages that are not on disk yet.
   */
  async #writeOwners(writer: ByteWriter): Promise<PageImage[]> {
    const index = this.#index
    const images: PageImage[] = []
    const waiting = new Set(index.owners.values())
    const take = (owner: OwnerIndex): void => {
      if (!waiting.delete(owner)) return
      owner.eachPage((page) => {
        const image = index.cache.snapshot(page)
        if (image !== undefined) images.push(image)
      })
      writeOwner(writer, owner)
    }
    index.onChanging = take
    try {
      let last = writer.length
      for (const owner of waiting) {
        take(owner)
        if (writer.length - last < this.#bytesAtOnce) continue
        await new Promise(setImmediate)
        last = writer.length
      }
    } finally {
      index.onChanging = undefined
    }
    return images
  }

  /**
   * The small state, a little at a time and as it is then: what is newer than the rest of the checkpoint will be replayed to the
   * same end. But never in the middle of a batch, which may still come to nothing.
   */
  async #writeStates(writer: ByteWriter): Promise<void> {
    const at = writer.length
    writer.u32(0)
    let count = 0
    if (this.#isMidBatch) await this.#betweenBatches()
    for (const [key, value] of this.#index.states) {
      writer.text(key)
      writer.u32(value.length)
      writer.raw(value)
      count += 1
      if (count % statesAtOnce === 0) await this.#betweenBatches()
    }
    writer.putU32(at, count)
  }

  async #betweenBatches(): Promise<void> {
    await new Promise(setImmediate)
    while (this.#isMidBatch) {
      if (this.#isStopped) throw new Error('the store is closed in the middle of a batch')
      await new Promise<void>((resolve) => {
        this.#onBatchEnd = resolve
      })
    }
  }
}

function isDead(segment: Segment): boolean {
  return segment.liveEntries === 0
}
