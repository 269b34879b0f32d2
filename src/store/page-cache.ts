import { type IndexPage, noSlot } from './index-page.ts'
import type { JournalSizes } from './journal-limits.ts'
import { decodePage, type PageImage } from './page-codec.ts'
import type { PageColumns } from './page-columns.ts'
import type { PageFiles } from './page-files.ts'

/** Pages that are read at a time because a change waits for them, and written at a time to make room. */
const readsMax = 4
const writesMax = 4

export interface PageCacheEvents {
  /** Makes the columns of a page anew from the journal, since those on disk are not what they should be. */
  repair(page: IndexPage): Promise<PageColumns>
  /** A page cannot be written. */
  failed(error: unknown): void
}

/**
 * The pages of the index that are in memory. Those to which entries are still added always are; of the others so many as there is
 * room for, the ones used lately first.
 */
export class PageCache {
  readonly files: PageFiles
  /** Entries of a full page. */
  readonly pageEntries: number
  readonly #events: PageCacheEvents
  readonly #bytesMax: number
  /** Sealed pages whose columns are in memory, looked at in turn when there is too little room. */
  readonly #pages: IndexPage[]
  readonly #loading: Map<IndexPage, Promise<void>>
  readonly #wanted: Set<IndexPage>
  /** Pages on their way to the disk, which cannot be read there yet. */
  readonly #written: Map<IndexPage, number>
  #hand: number
  #bytes: number
  #writes: number
  #lastStamp: number
  #onQuiet: (() => void)[]

  constructor(files: PageFiles, sizes: JournalSizes, events: PageCacheEvents) {
    this.files = files
    this.pageEntries = sizes.pageEntries
    this.#events = events
    this.#bytesMax = sizes.pageCacheBytes
    this.#pages = []
    this.#loading = new Map()
    this.#wanted = new Set()
    this.#written = new Map()
    this.#hand = 0
    this.#bytes = 0
    this.#writes = 0
    this.#lastStamp = 0
    this.#onQuiet = []
  }

  /** Bytes of the pages that need not be in memory. */
  get bytes(): number {
    return this.#bytes
  }

  /** The stamps of the pages that a checkpoint has brought back are used up. */
  sawStamp(stamp: number): void {
    this.#lastStamp = Math.max(this.#lastStamp, stamp)
  }

  /** The page is not as it is on disk. */
  touch(page: IndexPage): void {
    page.isDirty = true
  }

  /** An entry of the page has changed: its columns may have become longer. */
  changed(page: IndexPage): void {
    if (!page.isDirty) this.touch(page)
    if (page.cacheIndex >= 0) this.#count(page)
  }

  /** Nothing is added to the page any more. */
  seal(page: IndexPage): void {
    page.isSealed = true
    this.#admit(page)
  }

  /** Resolves when the columns of a page are in memory. */
  load(page: IndexPage): Promise<void> {
    if (page.columns !== undefined) return Promise.resolve()
    const found = this.#loading.get(page)
    if (found !== undefined) return found
    const loading = this.#load(page).finally(() => {
      this.#loading.delete(page)
      this.#pump()
    })
    this.#loading.set(page, loading)
    return loading
  }

  /** Something is to be done to a page as soon as it is in memory. */
  want(page: IndexPage): void {
    if (this.#loading.has(page)) return
    this.#wanted.add(page)
    this.#pump()
  }

  /** The page is in no directory any more. */
  drop(page: IndexPage): void {
    page.isGone = true
    this.#wanted.delete(page)
    if (page.slot !== noSlot) this.files.release(page.slot)
    page.slot = noSlot
    if (page.cacheIndex >= 0) this.#forget(page)
  }

  /** Resolves when nothing is waiting to be read, and what does not fit into memory has been written. */
  async quiet(): Promise<void> {
    while (this.#wanted.size > 0 || this.#loading.size > 0 || (this.#writes > 0 && this.#bytes > this.#bytesMax)) {
      await new Promise<void>((resolve) => {
        this.#onQuiet.push(resolve)
      })
    }
  }

  /** What is not on disk of a page as it is now, if anything; to be written with {@link write}. */
  snapshot(page: IndexPage): PageImage | undefined {
    if (!page.isDirty) return undefined
    const image = this.#image(page)
    page.isShared = true
    return image
  }

  /** Writes pages and flushes them. */
  async write(images: readonly PageImage[]): Promise<void> {
    await this.files.write(images, ({ page, columns }) => {
      this.#isWritten(page)
      if (page.columns === columns) page.isShared = false
    })
    // Pages that are being written to make room may be in the snapshot too.
    while (this.#writes > 0) {
      await new Promise<void>((resolve) => {
        this.#onQuiet.push(resolve)
      })
    }
    await this.files.flush()
  }

  #image(page: IndexPage): PageImage {
    const { columns, length, firstSequence } = page
    if (columns === undefined) throw new Error('a page that is not in memory has changed')
    if (page.slot !== noSlot) this.files.release(page.slot)
    this.#lastStamp = (this.#lastStamp + 1) % 2 ** 32
    page.slot = this.files.allocate(columns, length)
    page.stamp = this.#lastStamp
    page.isDirty = false
    this.#written.set(page, (this.#written.get(page) ?? 0) + 1)
    return { page, columns, length, firstSequence, slot: page.slot, stamp: page.stamp }
  }

  #isWritten(page: IndexPage): void {
    const left = (this.#written.get(page) ?? 1) - 1
    if (left === 0) this.#written.delete(page)
    else this.#written.set(page, left)
  }

  async #load(page: IndexPage): Promise<void> {
    const bytes = page.slot === noSlot ? undefined : await this.files.read(page.slot).catch(() => undefined)
    if (page.isGone) return
    let columns = bytes === undefined ? undefined : decodePage(bytes, page)
    const isSound = columns !== undefined
    columns ??= await this.#events.repair(page)
    if (page.isGone) return
    page.columns = columns
    page.isShared = false
    if (!isSound) this.touch(page)
    this.#admit(page)
    page.home.settle(page)
  }

  #admit(page: IndexPage): void {
    page.isRecent = true
    page.cacheIndex = this.#pages.length
    this.#pages.push(page)
    this.#count(page)
    this.#makeRoom(page)
  }

  /** Counts what the page takes now. */
  #count(page: IndexPage): void {
    const bytes = page.columns?.bytes ?? 0
    this.#bytes += bytes - page.cachedBytes
    page.cachedBytes = bytes
  }

  #makeRoom(admitted?: IndexPage): void {
    for (let left = 2 * this.#pages.length; this.#bytes > this.#bytesMax && left > 0; left -= 1) {
      if (this.#hand >= this.#pages.length) this.#hand = 0
      const page = this.#pages[this.#hand] as IndexPage
      if (page.isRecent || page === admitted || page.partCount > 0 || this.#written.has(page)) {
        page.isRecent = false
        this.#hand += 1
      } else if (page.isDirty) {
        if (this.#writes < writesMax) void this.#writeOut(page)
        this.#hand += 1
      } else this.#forget(page)
    }
  }

  async #writeOut(page: IndexPage): Promise<void> {
    const image = this.#image(page)
    page.isShared = true
    this.#writes += 1
    try {
      await this.files.write([image], () => undefined)
    } catch (error) {
      this.#events.failed(error)
      return
    } finally {
      this.#writes -= 1
      this.#isWritten(page)
      if (page.columns === image.columns) page.isShared = false
      this.#quieten()
    }
    this.#makeRoom()
  }

  #forget(page: IndexPage): void {
    const last = this.#pages.pop() as IndexPage
    if (last !== page) {
      this.#pages[page.cacheIndex] = last
      last.cacheIndex = page.cacheIndex
    }
    page.cacheIndex = -1
    page.columns = undefined
    this.#count(page)
  }

  #pump(): void {
    for (const page of this.#wanted) {
      if (this.#loading.size >= readsMax) break
      this.#wanted.delete(page)
      if (page.columns !== undefined) page.home.settle(page)
      else this.load(page).catch((error: unknown) => this.#events.failed(error))
    }
    this.#quieten()
  }

  #quieten(): void {
    for (const resolve of this.#onQuiet.splice(0)) resolve()
  }
}
