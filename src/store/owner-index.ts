import { Directory } from './directory.ts'
import { IndexPage, type PageState, type SegmentUse } from './index-page.ts'
import type { PageCache } from './page-cache.ts'
import { pageEntries } from './page-columns.ts'
import type { OwnerId, OwnerSpec } from './store.ts'

/** One owner with its entries by priority. */
export class OwnerIndex {
  readonly id: OwnerId
  readonly directories: (Directory | undefined)[]
  lastSequence: number
  /** Entries up to this sequence may have been seen by consumers. */
  horizon: number
  /** Entries up to this sequence were within the horizon when the broker crashed. */
  seenUpTo: number
  readonly #use: SegmentUse
  readonly #cache: PageCache
  #spec: OwnerSpec
  #specText: string | undefined

  constructor(id: OwnerId, spec: OwnerSpec, use: SegmentUse, cache: PageCache) {
    this.id = id
    this.directories = new Array<Directory | undefined>(10).fill(undefined)
    this.lastSequence = 0
    this.horizon = 0
    this.seenUpTo = 0
    this.#use = use
    this.#cache = cache
    this.#spec = spec
    this.#specText = undefined
  }

  get spec(): OwnerSpec {
    return this.#spec
  }

  /** Found out later if the definition was lost. */
  set spec(spec: OwnerSpec) {
    this.#spec = spec
    this.#specText = undefined
  }

  /** As JSON. */
  get specText(): string {
    this.#specText ??= JSON.stringify(this.#spec)
    return this.#specText
  }

  directory(priority: number): Directory {
    const found = this.directories[priority]
    if (found !== undefined) return found
    const directory = new Directory(this.id, priority, this.#use, this.#cache)
    this.directories[priority] = directory
    return directory
  }

  /** Puts a page back that a checkpoint tells of. Nothing is added to it any more. */
  restore(priority: number, state: PageState): IndexPage {
    const directory = this.directory(priority)
    const page = new IndexPage(directory)
    Object.assign(page, state)
    page.isSealed = true
    if (state.dead !== undefined) {
      page.dead = new Uint8Array(pageEntries >> 3)
      page.dead.set(state.dead)
    }
    this.#cache.sawStamp(state.stamp)
    directory.restore(page)
    return page
  }

  /** Calls back with each of its pages. */
  eachPage(visit: (page: IndexPage) => void): void {
    for (const directory of this.directories) for (const page of directory?.pages ?? []) visit(page)
  }

  get count(): number {
    let count = 0
    for (const directory of this.directories) count += directory?.liveCount ?? 0
    return count
  }

  get bytes(): number {
    let bytes = 0
    for (const directory of this.directories) {
      for (const page of directory?.pages ?? []) for (const span of page.spans) bytes += span.bytes
    }
    return Math.round(bytes)
  }
}
