import type { Message } from '../message.ts'
import type { OwnerId, StoredEntry } from '../store/store.ts'
import type { Dispatchable } from '../turn.ts'
import type { Context } from './context.ts'
import { MemoryPages } from './memory-pages.ts'

/** Entries read back from the store at a time. */
const readCount = 4096

/** A message that comes out of a backlog, to wait for its consumer. */
export interface Surfaced {
  readonly sequence: number
  readonly message: Message
  readonly isStored: boolean
  readonly deliveryCount: number
  readonly redelivered: boolean
  readonly notBefore: number
}

/** Messages that came one after the other and are kept in the same way: in memory pages, or by the store alone. */
type Run = { readonly kind: 'memory'; readonly pages: MemoryPages } | { readonly kind: 'stored'; count: number }

/** The backlog of one priority. */
class Level {
  readonly runs: Run[]
  count: number
  /** The store's entries up to this sequence are not in the backlog. */
  after: number
  /** Entries after it that are not either: delayed ones, which wait elsewhere. */
  ahead: Set<number> | undefined
  loaded: StoredEntry[]
  isLoading: boolean

  constructor(after: number) {
    this.runs = []
    this.count = 0
    this.after = after
    this.ahead = undefined
    this.loaded = []
    this.isLoading = false
  }
}

/**
 * The part of a queue that is too long to have an object in memory for each message: what the store has is not in memory at all,
 * the rest is in pages. It comes back in order as the queue is served.
 */
export class Backlog {
  readonly #context: Context
  readonly #queue: Dispatchable
  readonly #ownerId: () => OwnerId
  readonly #levels: (Level | undefined)[]
  #count: number
  #bytes: number

  constructor(context: Context, queue: Dispatchable, ownerId: () => OwnerId) {
    this.#context = context
    this.#queue = queue
    this.#ownerId = ownerId
    this.#levels = []
    this.#count = 0
    this.#bytes = 0
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  has(priority: number): boolean {
    return this.#count > 0 && (this.#levels[priority]?.count ?? 0) > 0
  }

  /** Takes a message in at the end. `isStored`: it is in the store, or in the batch of this turn. */
  push(message: Message, sequence: number, isStored: boolean): void {
    const level = this.#level(message.priority, sequence - 1)
    const last = level.runs.at(-1)
    if (isStored && this.#context.isPaging) {
      this.#context.untilCommitted(message)
      if (last?.kind === 'stored') last.count += 1
      else level.runs.push({ kind: 'stored', count: 1 })
    } else {
      const pages = last?.kind === 'memory' ? last.pages : new MemoryPages()
      if (last?.kind !== 'memory') level.runs.push({ kind: 'memory', pages })
      pages.push(message, sequence, isStored)
      this.#context.memory.add(message.size)
    }
    level.count += 1
    this.#count += 1
    this.#bytes += message.size
  }

  /** What the store had kept when it was opened. */
  restore(priority: number, count: number, bytes: number): void {
    const level = this.#level(priority, 0)
    level.runs.push({ kind: 'stored', count })
    level.count += count
    this.#count += count
    this.#bytes += bytes
  }

  /** A stored message waits elsewhere although its sequence is among those of the backlog. */
  skip(priority: number, sequence: number): void {
    const level = this.#levels[priority]
    if (level === undefined || level.count === 0 || !this.#context.isPaging) return
    level.ahead ??= new Set()
    level.ahead.add(sequence)
  }

  /** The next message of a priority; undefined if there is none, or it is still being read: then the queue is marked later. */
  shift(priority: number): Surfaced | undefined {
    const level = this.#levels[priority]
    const run = level?.runs[0]
    if (level === undefined || run === undefined) return undefined
    const surfaced = run.kind === 'memory' ? this.#fromPages(run.pages) : this.#fromStore(level, priority)
    if (surfaced === undefined) return undefined
    if (run.kind === 'stored') run.count -= 1
    if ((run.kind === 'memory' ? run.pages.count : run.count) === 0) level.runs.shift()
    level.count -= 1
    this.#count -= 1
    this.#bytes = this.#count === 0 ? 0 : Math.max(0, this.#bytes - surfaced.message.size)
    return surfaced
  }

  /** Takes out what has expired of the messages that are in memory. */
  takeExpired(now: number): readonly Surfaced[] {
    const expired: Surfaced[] = []
    for (const level of this.#levels) {
      if (level === undefined || level.count === 0) continue
      for (const run of level.runs) {
        if (run.kind !== 'memory') continue
        for (const paged of run.pages.takeExpired(now)) {
          expired.push(surfacedOf(paged))
          level.count -= 1
          this.#count -= 1
          this.#bytes -= paged.message.size
          this.#context.memory.subtract(paged.message.size)
        }
      }
      for (let at = level.runs.length - 1; at >= 0; at -= 1) if (isEmpty(level.runs[at])) level.runs.splice(at, 1)
    }
    return expired
  }

  /** None of the messages that are in memory expires before this time. */
  get expiryFrom(): number {
    let from = Number.POSITIVE_INFINITY
    for (const level of this.#levels) {
      for (const run of level?.runs ?? []) if (run.kind === 'memory') from = Math.min(from, run.pages.expiryFrom)
    }
    return from
  }

  /** Up to `count` messages of a priority after a sequence, in order, which stay where they are; fewer only at the end. */
  async peek(priority: number, after: number, count: number): Promise<readonly Surfaced[]> {
    const level = this.#levels[priority]
    const found: Surfaced[] = []
    const runs = [...(level?.runs ?? [])]
    for (const [at, run] of runs.entries()) {
      const last = found.at(-1)?.sequence ?? after
      const wanted = count - found.length
      if (level === undefined || wanted <= 0) break
      if (run.kind === 'memory') found.push(...run.pages.peek(last, wanted).map(surfacedOf))
      else found.push(...(await this.#peekStored(level, { priority, last, before: startOf(runs, at + 1), wanted })))
    }
    return found
  }

  /** Drops everything, in the store too. Returns how many. */
  clear(lastSequence: number): number {
    const count = this.#count
    for (const [priority, level] of this.#levels.entries()) {
      if (level === undefined || level.count === 0) continue
      for (const run of level.runs) if (run.kind === 'memory') this.#clearPages(run.pages)
      if (level.runs.some((run) => run.kind === 'stored')) this.#clearStored(level, priority, lastSequence)
      this.#levels[priority] = undefined
    }
    this.#count = 0
    this.#bytes = 0
    return count
  }

  /** In the store too: but for the delayed ones among them, of which a consumer may have some by now. */
  #clearStored(level: Level, priority: number, lastSequence: number): void {
    const batch = this.#context.batch()
    const owner = this.#ownerId()
    for (const { sequence } of level.loaded) batch.ack(owner, priority, sequence, false)
    let first = level.after + 1
    for (const sequence of [...(level.ahead ?? [])].sort((left, right) => left - right)) {
      if (sequence > first) batch.clear(owner, priority, first, sequence - 1)
      first = Math.max(first, sequence + 1)
    }
    if (first <= lastSequence) batch.clear(owner, priority, first, lastSequence)
  }

  #clearPages(pages: MemoryPages): void {
    for (let next = pages.shift(); next !== undefined; next = pages.shift()) {
      this.#context.memory.subtract(next.message.size)
      if (next.isStored) {
        this.#context.batch().ack(this.#ownerId(), next.message.priority, next.sequence, false)
      }
    }
  }

  #fromPages(pages: MemoryPages): Surfaced | undefined {
    const paged = pages.shift()
    if (paged === undefined) return undefined
    this.#context.memory.subtract(paged.message.size)
    return surfacedOf(paged)
  }

  #fromStore(level: Level, priority: number): Surfaced | undefined {
    const entry = level.loaded.shift()
    if (entry !== undefined) {
      if (level.loaded.length < readCount / 2) this.#load(level, priority)
      return surfacedEntry(entry)
    }
    this.#load(level, priority)
    return undefined
  }

  /** Reads more of the first run, once what is read has been committed. */
  #load(level: Level, priority: number): void {
    const run = level.runs[0]
    if (level.isLoading || run?.kind !== 'stored' || run.count <= level.loaded.length) return
    level.isLoading = true
    const count = Math.min(readCount, run.count - level.loaded.length + (level.ahead?.size ?? 0))
    this.#context.read(this.#ownerId(), priority, level.after, count).then((entries) => {
      level.isLoading = false
      if (this.#levels[priority] !== level) return
      level.after = entries.at(-1)?.sequence ?? level.after
      for (const entry of entries) if (level.ahead?.delete(entry.sequence) !== true) level.loaded.push(entry)
      if (entries.length > 0) this.#context.turn.markDispatch(this.#queue)
      else this.#context.afterCommit(() => this.#context.turn.markDispatch(this.#queue))
    }, this.#context.readFailed)
  }

  /** Entries of one run: those that have been read for the queue, then what the store has; what is not on disk yet is waited for. */
  async #peekStored(level: Level, { priority, last, before, wanted }: Peek): Promise<Surfaced[]> {
    const isOfRun = ({ sequence }: StoredEntry) => sequence > last && sequence < before
    const found = level.loaded.filter(isOfRun).slice(0, wanted).map(surfacedEntry)
    let from = Math.max(last, level.after)
    let hasWaited = false
    while (found.length < wanted) {
      const entries = await this.#context.read(this.#ownerId(), priority, from, wanted - found.length)
      if (entries.length === 0) {
        if (hasWaited) break
        hasWaited = true
        await new Promise<void>((resolve) => this.#context.afterCommit(resolve))
      }
      for (const entry of entries) {
        if (entry.sequence >= before) return found
        from = entry.sequence
        if (level.ahead?.has(entry.sequence) !== true) found.push(surfacedEntry(entry))
      }
    }
    return found
  }

  #level(priority: number, after: number): Level {
    const found = this.#levels[priority]
    if (found !== undefined && found.count > 0) return found
    const level = new Level(after)
    this.#levels[priority] = level
    return level
  }
}

/** What a browser asks for: messages after `last` and before `before`. */
interface Peek {
  readonly priority: number
  readonly last: number
  readonly before: number
  readonly wanted: number
}

/** The first sequence in memory at this run or after it. */
function startOf(runs: readonly Run[], from: number): number {
  for (const run of runs.slice(from)) {
    const [first] = run.kind === 'memory' ? run.pages.peek(0, 1) : []
    if (first !== undefined) return first.sequence
  }
  return Number.POSITIVE_INFINITY
}

function isEmpty(run: Run | undefined): boolean {
  return run?.kind === 'memory' && run.pages.count === 0
}

function surfacedEntry(entry: StoredEntry): Surfaced {
  return { ...entry, isStored: true }
}

function surfacedOf(paged: {
  readonly sequence: number
  readonly message: Message
  readonly isStored: boolean
}): Surfaced {
  const { sequence, message, isStored } = paged
  return { sequence, message, isStored, deliveryCount: 0, redelivered: false, notBefore: 0 }
}
