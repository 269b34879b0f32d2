import type { Disk, DiskFile } from './log/disk.ts'
import { encodePage, type PageImage, pageBytes } from './page-codec.ts'
import type { PageColumns } from './page-columns.ts'

const prefix = 'index-'
/** The slots that pages are written to, by their length: room for 16, 128, 1,024 and 4,096 entries of each width. */
const slotSizes = [512, 2_048, 4_096, 12_800, 16_896, 29_184, 49_664, 66_048, 98_816, 115_200] as const
const slotNumbers = 2 ** 32
/** Neighbouring slots are written in one piece of up to this. */
const writeBytesMax = 256 * 1024

/** The slots of one length. */
class SlotFile {
  readonly name: string
  readonly slotBytes: number
  file: DiskFile | undefined
  /** Slots up to the last one that is not free. */
  end: number
  /** Free slots, the first one last. */
  free: number[]
  /** Written since it was last flushed. */
  isDirty: boolean
  isTooLong: boolean

  constructor(slotBytes: number) {
    this.name = `${prefix}${slotBytes}`
    this.slotBytes = slotBytes
    this.file = undefined
    this.end = 0
    this.free = []
    this.isDirty = false
    this.isTooLong = false
  }
}

/**
 * The files of the index: one for each length of slots, in which pages of all owners lie. A page is never written over: it is
 * written elsewhere, and its old slot is free once neither of the two checkpoints on disk refers to it.
 */
export class PageFiles {
  readonly #disk: Disk
  readonly #files: readonly SlotFile[]
  /** Given up since the last snapshot; before it; before the one before it. */
  #fresh: number[]
  #leaving: number[]
  #waiting: number[]

  constructor(disk: Disk) {
    this.#disk = disk
    this.#files = slotSizes.map((bytes) => new SlotFile(bytes))
    this.#fresh = []
    this.#leaving = []
    this.#waiting = []
  }

  /** Says which slots are in use, when a checkpoint is put back. False if the files do not reach as far. */
  async open(slots: Iterable<number>): Promise<boolean> {
    const used = this.#files.map(() => new Set<number>())
    for (const slot of slots) used[Math.floor(slot / slotNumbers)]?.add(slot % slotNumbers)
    const names = await this.#disk.list()
    let isThere = true
    for (const [at, one] of this.#files.entries()) {
      const taken = used[at] as Set<number>
      one.end = 0
      for (const slot of taken) one.end = Math.max(one.end, slot + 1)
      one.free = []
      for (let slot = one.end - 1; slot >= 0; slot -= 1) if (!taken.has(slot)) one.free.push(slot)
      one.isTooLong = names.includes(one.name)
      const size = one.isTooLong ? await (await this.#fileOf(one)).size() : 0
      if (size <= (one.end - 1) * one.slotBytes) isThere = false
    }
    return isThere
  }

  /** A slot in which nothing is that a checkpoint refers to. */
  allocate(columns: PageColumns, length: number): number {
    const bytes = pageBytes(columns, length)
    const at = slotSizes.findIndex((size) => size >= bytes)
    const one = this.#files[at]
    if (one === undefined) throw new Error(`a page of ${bytes} bytes has no slot`)
    const free = one.free.pop()
    if (free !== undefined) return at * slotNumbers + free
    one.end += 1
    return at * slotNumbers + one.end - 1
  }

  /** Nothing that is in memory refers to the slot any more. */
  release(slot: number): void {
    this.#fresh.push(slot)
  }

  /** A snapshot has been taken: what was given up before is not in it. */
  snapshotTaken(): void {
    this.#leaving.push(...this.#fresh.splice(0))
  }

  /** The snapshot is on disk: what was given up before the one before it is free. */
  async snapshotDurable(): Promise<void> {
    for (const slot of this.#waiting) this.#files[Math.floor(slot / slotNumbers)]?.free.push(slot % slotNumbers)
    const changed = new Set(this.#waiting.map((slot) => Math.floor(slot / slotNumbers)))
    this.#waiting = this.#leaving
    this.#leaving = []
    for (const [at, one] of this.#files.entries()) if (changed.has(at) || one.isTooLong) await this.#shorten(one)
  }

  /** True if slots are still kept for a checkpoint on disk, or for the next one. */
  get isWaiting(): boolean {
    return this.#fresh.length + this.#leaving.length + this.#waiting.length > 0
  }

  async read(slot: number): Promise<Buffer> {
    const one = this.#files[Math.floor(slot / slotNumbers)] as SlotFile
    const file = await this.#fileOf(one)
    return await file.read((slot % slotNumbers) * one.slotBytes, one.slotBytes)
  }

  /** Writes pages into their slots; `written` is called as each is there. */
  async write(images: readonly PageImage[], written: (image: PageImage) => void): Promise<void> {
    const ordered = [...images].sort((left, right) => left.slot - right.slot)
    for (let at = 0; at < ordered.length; ) {
      const { slot } = ordered[at] as PageImage
      const one = this.#files[Math.floor(slot / slotNumbers)] as SlotFile
      const most = Math.max(1, Math.floor(writeBytesMax / one.slotBytes))
      let count = 1
      while (count < most && ordered[at + count]?.slot === slot + count) count += 1
      const memory = Buffer.alloc(count * one.slotBytes)
      const run = ordered.slice(at, at + count)
      for (const [index, image] of run.entries()) encodePage(image, memory.subarray(index * one.slotBytes))
      one.isDirty = true
      await this.#disk.write(await this.#fileOf(one), memory, (slot % slotNumbers) * one.slotBytes)
      for (const image of run) written(image)
      at += count
    }
  }

  /** Flushes what has been written. */
  async flush(): Promise<void> {
    for (const one of this.#files) {
      if (!one.isDirty) continue
      one.isDirty = false
      await this.#disk.flush(await this.#fileOf(one))
    }
  }

  /** Flushes also what an earlier process has written. */
  async flushAll(): Promise<void> {
    for (const one of this.#files) if (one.end > 0) await this.#disk.flush(await this.#fileOf(one))
  }

  async close(): Promise<void> {
    for (const { file } of this.#files) await file?.close()
  }

  async #shorten(one: SlotFile): Promise<void> {
    const free = new Set(one.free)
    while (free.delete(one.end - 1)) one.end -= 1
    one.free = [...free].sort((left, right) => right - left)
    one.isTooLong = false
    await this.#disk.truncate(await this.#fileOf(one), one.end * one.slotBytes)
  }

  async #fileOf(one: SlotFile): Promise<DiskFile> {
    one.file ??= await this.#disk.open(one.name)
    return one.file
  }
}
