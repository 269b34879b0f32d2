import type { Clock, Timer } from '../clock.ts'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint, restoreCheckpoint } from './checkpoint.ts'
import type { JournalFrame } from './journal-frame.ts'
import type { JournalIndex } from './journal-index.ts'
import { checkpointMs, deadSegmentsMax, drainedMs, type JournalSizes } from './journal-limits.ts'
import type { Disk } from './log/disk.ts'
import type { Segment, Segments } from './segments.ts'

const names = ['ckpt-A', 'ckpt-B'] as const

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
  readonly #onMade: () => void
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

  constructor(
    disk: Disk,
    clock: Clock,
    index: JournalIndex,
    segments: Segments,
    sizes: JournalSizes,
    onMade: () => void,
  ) {
    this.#disk = disk
    this.#clock = clock
    this.#index = index
    this.#segments = segments
    this.#checkpointBytes = sizes.checkpointBytes
    this.#onMade = onMade
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
  }

  /** Puts back the newest whole checkpoint, if there is one, and deletes segments that it does not need. */
  async restore(): Promise<Checkpoint | undefined> {
    const present = await this.#disk.list()
    let newest: Checkpoint | undefined
    for (const name of names) {
      const found = present.includes(name) ? decodeCheckpoint(await this.#disk.readFile(name)) : undefined
      if (found !== undefined && found.number > (newest?.number ?? 0)) newest = found
    }
    if (newest === undefined) return undefined
    this.#number = newest.number
    // A process that was killed may have left it in the operating system's memory, while what it needs no more goes for good.
    const file = await this.#disk.open(names[newest.number % 2] as string)
    await this.#disk.flush(file)
    await file.close()
    await this.#disk.flushFolder()
    const needed = new Set(newest.segments.map(({ id }) => id))
    for (const segment of [...this.#segments.all]) {
      if (segment.id < newest.segment && !needed.has(segment.id)) await this.#segments.recycle(segment)
    }
    restoreCheckpoint(newest, this.#index, this.#segments)
    return newest
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
    if (frame.continues || this.#isStopped) return
    if (this.#isDue || this.#bytesSince >= this.#checkpointBytes) this.#begin()
    else this.#schedule(this.#segments.deadCount > deadSegmentsMax ? drainedMs : checkpointMs)
  }

  stop(): void {
    this.#isStopped = true
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
    this.#timer = this.#clock.after(ms, () => this.#begin())
  }

  #begin(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#underWay !== undefined || this.#isStopped) return
    this.#isDue = this.#isMidBatch
    if (this.#isDue) return
    this.#underWay = this.#make(false)
      .catch(() => this.stop())
      .finally(() => {
        this.#underWay = undefined
      })
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
    this.#index.pruneParts()
    const bytes = encodeCheckpoint(head, this.#index, this.#segments)
    await this.#disk.writeFile(names[this.#number % 2] as string, bytes)
    await this.#disk.flushFolder()
    for (const segment of dead) await this.#segments.recycle(segment)
    if (!isClean) this.#onMade()
  }
}

function isDead(segment: Segment): boolean {
  return segment.liveEntries === 0
}
