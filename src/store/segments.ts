import { type JournalSizes, quietSegmentsMax, sizeFactor, spareSegmentsMax } from './journal-limits.ts'
import type { Disk, DiskFile } from './log/disk.ts'

const segmentPrefix = 'seg-'
const sparePrefix = 'free-'

export interface Segment {
  readonly id: number
  readonly file: DiskFile
  /** Bytes of frames in it. */
  usedBytes: number
  liveEntries: number
  liveBytes: number
}

/** Where the next frame goes. */
export interface Place {
  readonly segment: Segment
  readonly offset: number
  /** Bytes to the end of the segment. */
  readonly room: number
}

/**
 * The segment files. Frames go to the end of the newest one; a drained one is not deleted but written over, since a file that
 * does not grow is flushed in half the time.
 */
export class Segments {
  readonly #disk: Disk
  readonly #segmentBytes: number
  readonly #all: Map<number, Segment>
  #current: Segment | undefined
  #next: Promise<Segment> | Segment | undefined
  #spares: string[]
  #lastId: number
  #lastSpare: number
  #deadCount: number

  constructor(disk: Disk, sizes: JournalSizes) {
    this.#disk = disk
    this.#segmentBytes = sizes.segmentBytes
    this.#all = new Map()
    this.#current = undefined
    this.#next = undefined
    this.#spares = []
    this.#lastId = 0
    this.#lastSpare = 0
    this.#deadCount = 0
  }

  /** Finds the files that are there. Returns the segments in the order of their ids. */
  async open(): Promise<readonly Segment[]> {
    const names = await this.#disk.list()
    this.#spares = names.filter((name) => name.startsWith(sparePrefix))
    this.#lastSpare = Math.max(0, ...this.#spares.map((name) => Number(name.slice(sparePrefix.length))))
    const ids = names
      .filter((name) => name.startsWith(segmentPrefix))
      .map((name) => Number(name.slice(segmentPrefix.length)))
    for (const id of ids.sort((left, right) => left - right)) {
      const file = await this.#disk.open(nameOf(id))
      this.#all.set(id, { id, file, usedBytes: 0, liveEntries: 0, liveBytes: 0 })
      this.#deadCount += 1
      this.#lastId = Math.max(this.#lastId, id)
    }
    return [...this.#all.values()]
  }

  get all(): Iterable<Segment> {
    return this.#all.values()
  }

  get current(): Segment | undefined {
    return this.#current
  }

  segment(id: number): Segment | undefined {
    return this.#all.get(id)
  }

  add(id: number, entries: number, bytes: number): void {
    const segment = this.#all.get(id)
    if (segment === undefined) return
    const wasDead = segment.liveEntries === 0
    segment.liveEntries += entries
    segment.liveBytes += bytes
    if (wasDead !== (segment.liveEntries === 0)) this.#deadCount += wasDead ? -1 : 1
  }

  /** Segments in which nothing is alive; they wait for a checkpoint that says so. */
  get deadCount(): number {
    return this.#deadCount
  }

  /** A place with room for at least `bytes`, in a file that is open; undefined if the next file is still being made. */
  place(bytes: number): Place | undefined {
    const current = this.#current
    if (current !== undefined && current.usedBytes + bytes <= this.#segmentBytes) {
      // If it cannot be made, whoever waits for it is told.
      if (this.#next === undefined && current.usedBytes > this.#segmentBytes / 2) this.roll().catch(() => undefined)
      return { segment: current, offset: current.usedBytes, room: this.#segmentBytes - current.usedBytes }
    }
    const next = this.#next
    if (next === undefined || next instanceof Promise) return undefined
    this.#next = undefined
    this.#current = next
    return { segment: next, offset: 0, room: this.#segmentBytes }
  }

  /** Resolves when {@link place} has room for a frame of any size. */
  async roll(): Promise<void> {
    this.#next ??= this.#make()
    await this.#next
  }

  /** The next frame begins a new segment, as it must after recovery. */
  seal(): void {
    this.#current = undefined
  }

  /** Keeps a drained segment for reuse, or deletes it. The newest one is never recycled. */
  async recycle(segment: Segment): Promise<void> {
    if (segment === this.#current || !this.#all.delete(segment.id)) return
    this.#deadCount -= 1
    await segment.file.close()
    if (this.#spares.length >= spareSegmentsMax) {
      await this.#disk.remove(nameOf(segment.id))
      return
    }
    this.#lastSpare += 1
    const spare = `${sparePrefix}${this.#lastSpare}`
    await this.#disk.rename(nameOf(segment.id), spare)
    this.#spares.push(spare)
  }

  /** Deletes spares as long as there are more files than a journal needs in which little happens. */
  async trim(): Promise<void> {
    let liveBytes = 0
    for (const segment of this.#all.values()) liveBytes += segment.liveBytes
    const filesMax = quietSegmentsMax + Math.floor((sizeFactor * liveBytes) / this.#segmentBytes)
    while (this.#all.size + this.#spares.length > filesMax) {
      const spare = this.#spares.pop()
      if (spare === undefined) return
      await this.#disk.remove(spare)
    }
  }

  async close(): Promise<void> {
    const next = await Promise.resolve(this.#next).catch(() => undefined)
    if (next !== undefined && !this.#all.has(next.id)) await next.file.close()
    for (const segment of this.#all.values()) await segment.file.close()
  }

  async #make(): Promise<Segment> {
    this.#lastId += 1
    const id = this.#lastId
    const spare = this.#spares.shift()
    if (spare !== undefined) await this.#disk.rename(spare, nameOf(id))
    const file = await this.#disk.open(nameOf(id))
    await this.#disk.flushFolder()
    const segment = { id, file, usedBytes: 0, liveEntries: 0, liveBytes: 0 }
    this.#all.set(id, segment)
    this.#deadCount += 1
    this.#next = segment
    return segment
  }
}

function nameOf(id: number): string {
  return `${segmentPrefix}${id}`
}
