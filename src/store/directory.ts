import { type DeferredChange, type IndexEntry, IndexPage, type PageHome, type SegmentUse } from './index-page.ts'
import type { Location } from './location.ts'
import type { PageCache } from './page-cache.ts'
import type { PageColumns } from './page-columns.ts'

/** The entries of one owner and priority: pages in the order of sequences. */
export class Directory implements PageHome {
  readonly owner: number
  readonly priority: number
  readonly pages: IndexPage[]
  liveCount: number
  readonly #use: SegmentUse
  readonly #cache: PageCache
  /** Where the last search ended, since acknowledgements mostly come in order. */
  #lastPage: IndexPage | undefined

  constructor(owner: number, priority: number, use: SegmentUse, cache: PageCache) {
    this.owner = owner
    this.priority = priority
    this.pages = []
    this.liveCount = 0
    this.#use = use
    this.#cache = cache
    this.#lastPage = undefined
  }

  append(sequence: number, location: Location, bytes: number, hasParts: boolean): void {
    let page = this.pages.at(-1)
    if (page === undefined || !page.takes(sequence, this.#cache.pageEntries)) {
      if (page !== undefined && !page.isSealed) this.#cache.seal(page)
      page = new IndexPage(this)
      this.pages.push(page)
    }
    page.append(sequence, location, bytes, hasParts)
    this.liveCount += 1
    if (!page.isDirty) this.#cache.touch(page)
  }

  /** Puts a page back that a checkpoint tells of. */
  restore(page: IndexPage): void {
    this.pages.push(page)
    this.liveCount += page.liveCount
  }

  /** Up to `count` entries after a sequence, in order. Reads the pages that are not in memory. */
  async collect(after: number, count: number): Promise<IndexEntry[]> {
    const found: IndexEntry[] = []
    let last = after
    while (found.length < count) {
      const page = this.pages[this.#pageAfter(last)]
      if (page === undefined) break
      if (page.columns === undefined) {
        await this.#cache.load(page)
        continue
      }
      page.isRecent = true
      for (let index = page.indexFrom(last + 1); index < page.length && found.length < count; index += 1) {
        if (!page.isDead(index)) found.push(page.entry(index))
      }
      last = page.lastSequence
    }
    return found
  }

  /** True if the entry is there. Its page must have been in memory not long ago. */
  async has(sequence: number): Promise<boolean> {
    const page = this.pageOf(sequence)
    if (page === undefined) return false
    if (!page.isReady || page.deferred.length > 0) await this.#cache.load(page)
    return !page.isGone && page.find(sequence) >= 0
  }

  /** The page that holds a sequence, if one may. */
  pageOf(sequence: number): IndexPage | undefined {
    const last = this.#lastPage
    if (last !== undefined && sequence >= last.firstSequence && sequence <= last.lastSequence) return last
    const page = this.pages[this.#pageAfter(sequence - 1)]
    if (page === undefined || sequence < page.firstSequence) return undefined
    this.#lastPage = page
    return page
  }

  /** The entries from one sequence to another go; whole pages without looking into them. */
  kill(from: number, to: number): void {
    if (from === to) {
      const page = this.pageOf(from)
      if (page === undefined) return
      const index = page.isReady ? page.find(from) : -1
      if (index >= 0) this.#killAt(page, index)
      else if (!page.isReady) this.#defer(page, { kind: 'kill', from, to })
      return
    }
    for (const page of this.pages.slice(this.#pageAfter(from - 1))) {
      if (page.firstSequence > to) return
      if (page.firstSequence >= from && page.lastSequence <= to) {
        this.liveCount -= page.liveCount
        page.killAll(this.#use)
        if (page.isSealed) this.#drop(page)
      } else if (page.isReady) this.#killWithin(page, from, to)
      else this.#defer(page, { kind: 'kill', from, to })
    }
  }

  /** Everything goes: the owner is removed. */
  clear(): void {
    for (const page of this.pages.splice(0)) {
      page.killAll(this.#use)
      this.#cache.drop(page)
    }
    this.liveCount = 0
    this.#lastPage = undefined
  }

  /** An entry was delivered in vain, or may have been. */
  redeliver(sequence: number, deliveryCount: number, notBefore: number): void {
    const page = this.pageOf(sequence)
    if (page === undefined) return
    if (page.columns === undefined) {
      this.#defer(page, { kind: 'redeliver', sequence, deliveryCount, notBefore })
      return
    }
    const index = page.find(sequence)
    if (index < 0) return
    page.redeliver(index, deliveryCount, notBefore)
    this.#cache.changed(page)
  }

  /** An entry's message lies elsewhere from now on, if it is still there. */
  relocate(sequence: number, location: Location, bytes: number, hasParts: boolean): void {
    const page = this.pageOf(sequence)
    if (page === undefined) {
      if (hasParts) this.#use.dropParts(location)
      return
    }
    if (page.columns === undefined) {
      this.#defer(page, { kind: 'relocate', sequence, location, bytes, hasParts })
      return
    }
    const index = page.find(sequence)
    if (index < 0) {
      if (hasParts) this.#use.dropParts(location)
      return
    }
    page.relocate(index, location, bytes, hasParts, this.#use)
    this.#cache.changed(page)
  }

  /** The columns of a page have been read: what was put off is done now. */
  settle(page: IndexPage): void {
    this.#use.changing(this.owner)
    const changes = page.deferred
    page.deferred = []
    for (const change of changes) this.#apply(page, change)
    if (page.liveCount === 0 && !page.isGone) this.#drop(page)
  }

  recount(page: IndexPage, columns: PageColumns, length: number): void {
    this.#use.changing(this.owner)
    this.liveCount += length - page.liveCount
    page.renew(columns, length, this.#use)
  }

  #apply(page: IndexPage, change: DeferredChange): void {
    if (page.isGone) return
    switch (change.kind) {
      case 'kill':
        this.#killWithin(page, change.from, change.to)
        return
      case 'redeliver':
        this.redeliver(change.sequence, change.deliveryCount, change.notBefore)
        return
      case 'relocate':
        this.relocate(change.sequence, change.location, change.bytes, change.hasParts)
        return
      default:
        change satisfies never
    }
  }

  #defer(page: IndexPage, change: DeferredChange): void {
    page.deferred.push(change)
    this.#cache.want(page)
  }

  #killWithin(page: IndexPage, from: number, to: number): void {
    for (let index = page.indexFrom(from); index < page.length && page.sequence(index) <= to; index += 1) {
      if (!page.isDead(index)) this.#killAt(page, index)
    }
  }

  #killAt(page: IndexPage, index: number): void {
    page.kill(index, this.#use)
    this.liveCount -= 1
    if (page.liveCount === 0 && page.isSealed) this.#drop(page)
  }

  /** Index of the first page that may hold something after a sequence. */
  #pageAfter(sequence: number): number {
    let low = 0
    let high = this.pages.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.pages[middle] as IndexPage).lastSequence <= sequence) low = middle + 1
      else high = middle
    }
    return low
  }

  #drop(page: IndexPage): void {
    if (this.#lastPage === page) this.#lastPage = undefined
    if (this.pages[0] === page) this.pages.shift()
    else this.pages.splice(this.pages.indexOf(page), 1)
    this.#cache.drop(page)
  }
}
