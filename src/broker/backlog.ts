import type { Message } from '../message.ts'
import type { OwnerId, StoredEntry } from '../store/store.ts'
import type { Dispatchable } from '../turn.ts'
import { BacklogLevel, isEmpty, type Run, startOf } from './backlog-level.ts'
import type { Context } from './context.ts'
import type { ExpiryMark } from './expiry-marks.ts'
import { MemoryPages, type PagedMessage } from './memory-pages.ts'

/** Messages that are read at a time to see whether they have expired. */
const sweepCount = 1024

/** A message that comes out of a backlog, to wait for its consumer. */
export interface Surfaced {
  readonly sequence: number
  readonly message: Message
  readonly isStored: boolean
  readonly deliveryCount: number
  readonly redelivered: boolean
  readonly notBefore: number
}

/** What a backlog needs of its queue. */
interface BacklogHost extends Dispatchable {
  /** Sequences of those that do not expire. */
  readonly begun: ReadonlySet<number> | undefined
  /** The store's number for it. */
  ownerId(): OwnerId
}

/**
 * The part of a queue that is too long to have an object in memory for each message: what the store has is not in memory at all,
 * the rest is in pages. It comes back in order as the queue is served.
 */
export class Backlog {
  readonly #context: Context
  readonly #queue: BacklogHost
  readonly #levels: (BacklogLevel | undefined)[]
  #count: number
  #bytes: number

  constructor(context: Context, queue: BacklogHost) {
    this.#context = context
    this.#queue = queue
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

  /** Takes a message in at the end. `isStored`: it is in the store, or in the batch of this turn, with the flag too. */
  push(message: Message, sequence: number, isStored: boolean, redelivered: boolean): void {
    const level = this.#level(message.priority, sequence - 1)
    const last = level.runs.at(-1)
    if (isStored && this.#context.isPaging) {
      this.#context.untilCommitted(message)
      if (last?.kind === 'stored') {
        last.count += 1
        last.last = sequence
      } else level.runs.push({ kind: 'stored', count: 1, last: sequence })
      if (message.expiresAt > 0) level.marks.note(sequence, message.expiresAt)
    } else {
      const pages = last?.kind === 'memory' ? last.pages : new MemoryPages()
      if (last?.kind !== 'memory') level.runs.push({ kind: 'memory', pages })
      pages.push(message, sequence, isStored, redelivered)
      this.#context.memory.add(message.size)
    }
    level.count += 1
    this.#count += 1
    this.#bytes += message.size
  }

  /** What the store had kept when it was opened; some of it `mayExpire`. */
  restore(kept: { priority: number; count: number; bytes: number; lastSequence: number; mayExpire: boolean }): void {
    const { priority, count, bytes, lastSequence, mayExpire } = kept
    const level = this.#level(priority, 0)
    level.runs.push({ kind: 'stored', count, last: lastSequence })
    if (mayExpire) level.marks.noteUnknown(lastSequence)
    level.count += count
    this.#count += count
    this.#bytes += bytes
  }

  /** A stored message waits elsewhere although its sequence is among those of the backlog. */
  skip(priority: number, sequence: number): void {
    const level = this.#levels[priority]
    if (level === undefined || level.count === 0 || !this.#context.isPaging) return
    level.elsewhere.add(sequence)
  }

  /**
   * Takes out a message that {@link peek} has shown, if it is still here; what becomes of it in the store is up to the caller, in the
   * same turn.
   */
  take(surfaced: Surfaced): void {
    const { message, sequence } = surfaced
    const level = this.#levels[message.priority]
    const run = this.#runOf(surfaced)
    if (level === undefined || run === undefined) return
    if (run.kind === 'memory') {
      run.pages.take(sequence)
      this.#context.memory.subtract(message.size)
    } else {
      const entry = level.loadedAt(sequence)
      if (entry === undefined) this.#leave(level, sequence)
      else level.loaded.remove(entry)
      run.count -= 1
    }
    this.#uncount(level, run, message.size)
  }

  /** True if a message that {@link peek} has shown is still here. */
  holds(surfaced: Surfaced): boolean {
    return this.#runOf(surfaced) !== undefined
  }

  /** Drops the first message of a priority, which need not be read for that. */
  drop(priority: number): void {
    const level = this.#levels[priority]
    const run = level?.runs[0]
    if (level === undefined || run === undefined) return
    if (run.kind === 'memory' || level.loaded.length > 0) {
      const first = this.shift(priority)
      if (first?.isStored === true) this.#context.batch().ack(this.#queue.ownerId(), priority, first.sequence, false)
      return
    }
    run.count -= 1
    level.droppedCount += 1
    if (run.count === 0) this.#clearDropped(level, priority, run.last)
    this.#uncount(level, run, Math.floor(this.#bytes / this.#count))
    this.#load(level, priority)
  }

  /** The next message of a priority; undefined if there is none, or it is still being read: then the queue is marked later. */
  shift(priority: number): Surfaced | undefined {
    const level = this.#levels[priority]
    const run = level?.runs[0]
    if (level === undefined || run === undefined) return undefined
    const surfaced = run.kind === 'memory' ? this.#fromPages(run.pages) : this.#fromStore(level, priority)
    if (surfaced === undefined) return undefined
    if (run.kind === 'stored') run.count -= 1
    this.#uncount(level, run, surfaced.message.size)
    return surfaced
  }

  /** Takes out what has expired of the messages that are in memory, in pages or because they have been read. */
  takeExpired(now: number): readonly Surfaced[] {
    const expired: Surfaced[] = []
    for (const level of this.#levels) {
      if (level === undefined || level.count === 0) continue
      for (const run of level.runs) {
        if (run.kind !== 'memory') continue
        for (const paged of run.pages.takeExpired(now, this.#queue.begun)) {
          expired.push(surfacedOf(paged))
          level.count -= 1
          this.#count -= 1
          this.#bytes -= paged.message.size
          this.#context.memory.subtract(paged.message.size)
        }
      }
      for (const run of [...level.runs]) if (isEmpty(run)) level.runs.splice(level.runs.indexOf(run), 1)
      for (const surfaced of level.loadedExpired(now, this.#queue.begun).map(surfacedEntry)) {
        this.take(surfaced)
        expired.push(surfaced)
      }
    }
    return expired
  }

  /** None of the messages expires before this time. */
  get expiryFrom(): number {
    let from = Number.POSITIVE_INFINITY
    for (const level of this.#levels) {
      if (level === undefined || level.count === 0) continue
      from = Math.min(from, level.marks.from, level.loadedExpiryFrom)
      for (const run of level.runs) if (run.kind === 'memory') from = Math.min(from, run.pages.expiryFrom)
    }
    return from
  }

  /**
   * Reads what is in the store and may have expired, a page between one commit and the next, takes out what has, and gives it to
   * `expire`. Not while somebody else takes messages out of the middle.
   */
  async sweepStored(now: number, expire: (surfaced: Surfaced) => void): Promise<void> {
    for (const [priority, level] of this.#levels.entries()) {
      while (level !== undefined && level === this.#levels[priority] && level.count > 0) {
        const mark = level.marks.due(now)
        if (mark === undefined) break
        const { first, last } = mark
        const page = await this.peek(priority, Math.max(first - 1, 0), sweepCount)
        if (level.droppedCount === 0) this.#sweepPage(level, mark, { page, last, now, expire })
        await this.#committed()
      }
    }
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
      if (level.runs.some((run) => run.kind === 'stored')) {
        for (const { sequence } of level.loaded)
          this.#context.batch().ack(this.#queue.ownerId(), priority, sequence, false)
        this.#clearTo(level, priority, lastSequence)
      }
      this.#levels[priority] = undefined
    }
    this.#count = 0
    this.#bytes = 0
    return count
  }

  /**
   * Removes from the store what has not been read up to a sequence: but for the delayed ones, of which a consumer may have some by
   * now.
   */
  #clearTo(level: BacklogLevel, priority: number, upTo: number): void {
    const batch = this.#context.batch()
    const owner = this.#queue.ownerId()
    let first = level.after + 1
    for (const sequence of [...level.elsewhere, ...level.leaving].sort((left, right) => left - right)) {
      if (sequence > upTo) break
      if (sequence > first) batch.clear(owner, priority, first, sequence - 1)
      first = Math.max(first, sequence + 1)
    }
    if (first <= upTo) batch.clear(owner, priority, first, upTo)
    level.advance(upTo)
  }

  /** A run ends of which some have been dropped, that need not be read any more. */
  #clearDropped(level: BacklogLevel, priority: number, upTo: number): void {
    if (level.droppedCount > 0) this.#clearTo(level, priority, upTo)
    level.droppedCount = 0
  }

  #sweepPage(level: BacklogLevel, mark: ExpiryMark, { page, last, now, expire }: Sweep): void {
    let from = Number.POSITIVE_INFINITY
    for (const surfaced of page) {
      const { expiresAt } = surfaced.message
      if (surfaced.sequence > last || expiresAt === 0 || !this.holds(surfaced)) continue
      if (this.#queue.begun?.has(surfaced.sequence) === true) continue
      if (expiresAt > now) from = Math.min(from, expiresAt)
      else {
        this.take(surfaced)
        expire(surfaced)
      }
    }
    const upTo = page.length < sweepCount ? last : Math.min(last, page.at(-1)?.sequence ?? last)
    level.marks.looked(mark, upTo, from)
  }

  /** The run that holds a message that has been looked at, if one does. */
  #runOf({ message, sequence, isStored }: Surfaced): Run | undefined {
    const level = this.#levels[message.priority]
    if (level === undefined || level.count === 0) return undefined
    if (!isStored || !this.#context.isPaging) {
      return level.runs.find((run) => run.kind === 'memory' && run.pages.has(sequence))
    }
    // While some are to be dropped that have not been read, it may be one of those.
    if (level.droppedCount > 0) return undefined
    const isPassed = sequence <= level.after || level.isAway(sequence)
    if (isPassed && level.loadedAt(sequence) === undefined) return undefined
    return level.runs.find((run) => run.kind === 'stored' && run.last >= sequence)
  }

  /** A message that has not been read leaves the store with this turn's batch. */
  #leave(level: BacklogLevel, sequence: number): void {
    level.leaving.add(sequence)
    this.#context.afterCommit(() => {
      level.left.push(sequence)
      level.settle()
    })
  }

  /** One message of a run less. */
  #uncount(level: BacklogLevel, run: Run, bytes: number): void {
    if ((run.kind === 'memory' ? run.pages.count : run.count) === 0) level.runs.splice(level.runs.indexOf(run), 1)
    level.count -= 1
    this.#count -= 1
    this.#bytes = this.#count === 0 ? 0 : Math.max(0, this.#bytes - bytes)
  }

  #clearPages(pages: MemoryPages): void {
    for (let next = pages.shift(); next !== undefined; next = pages.shift()) {
      this.#context.memory.subtract(next.message.size)
      if (next.isStored) {
        this.#context.batch().ack(this.#queue.ownerId(), next.message.priority, next.sequence, false)
      }
    }
  }

  #fromPages(pages: MemoryPages): Surfaced | undefined {
    const paged = pages.shift()
    if (paged === undefined) return undefined
    this.#context.memory.subtract(paged.message.size)
    return surfacedOf(paged)
  }

  #fromStore(level: BacklogLevel, priority: number): Surfaced | undefined {
    const entry = level.loaded.shift()
    if (entry !== undefined) {
      if (level.loaded.length < this.#context.window.readCount / 2) this.#load(level, priority)
      return surfacedEntry(entry)
    }
    this.#load(level, priority)
    return undefined
  }

  /** Reads more of the first run, once what is read has been committed. */
  #load(level: BacklogLevel, priority: number): void {
    const run = level.runs[0]
    if (level.isLoading || run?.kind !== 'stored' || run.count <= level.loaded.length) return
    level.isLoading = true
    const wanted = run.count + level.droppedCount - level.loaded.length + level.elsewhere.size + level.leaving.size
    const count = Math.min(this.#context.window.readCount, wanted)
    let hasLost = false
    const onUnreadable = (sequence: number): void => {
      hasLost = true
      this.#lose(level, priority, sequence)
    }
    this.#context.read(this.#queue.ownerId(), priority, level.after, count, onUnreadable).then((entries) => {
      level.isLoading = false
      if (this.#levels[priority] !== level) return
      for (const entry of entries) if (entry.sequence > level.after) this.#take(level, priority, entry)
      level.advance(entries.at(-1)?.sequence ?? 0)
      if (entries.length > 0 || hasLost) this.#goOn(level, priority)
      else this.#context.afterCommit(() => this.#goOn(level, priority))
    }, this.#context.readFailed)
  }

  #goOn(level: BacklogLevel, priority: number): void {
    this.#context.turn.markDispatch(this.#queue)
    if (level.droppedCount > 0 && this.#levels[priority] === level) this.#load(level, priority)
  }

  /** An entry has been read. */
  #take(level: BacklogLevel, priority: number, entry: StoredEntry): void {
    if (level.isAway(entry.sequence)) return
    if (level.droppedCount === 0) level.load(entry)
    else {
      level.droppedCount -= 1
      this.#context.batch().ack(this.#queue.ownerId(), priority, entry.sequence, false)
    }
  }

  /** Entries of one run: those that have been read for the queue, then what the store has; what is not on disk yet is waited for. */
  async #peekStored(level: BacklogLevel, { priority, last, before, wanted }: Peek): Promise<Surfaced[]> {
    while (level.droppedCount > 0 && this.#levels[priority] === level) await this.#committed()
    const isOfRun = ({ sequence }: StoredEntry) => sequence > last && sequence < before
    const found = [...level.loaded].filter(isOfRun).slice(0, wanted).map(surfacedEntry)
    let from = Math.max(last, level.after)
    let hasWaited = false
    while (found.length < wanted) {
      const onUnreadable = (sequence: number): void => this.#lose(level, priority, sequence)
      const entries = await this.#context.read(
        this.#queue.ownerId(),
        priority,
        from,
        wanted - found.length,
        onUnreadable,
      )
      if (entries.length === 0) {
        if (hasWaited) break
        hasWaited = true
        await this.#committed()
      }
      for (const entry of entries) {
        if (entry.sequence >= before) return found
        from = entry.sequence
        if (!level.isAway(entry.sequence)) found.push(surfacedEntry(entry))
      }
    }
    return found
  }

  /** The store had to take an entry out that it could not read. */
  #lose(level: BacklogLevel, priority: number, sequence: number): void {
    if (this.#levels[priority] !== level || sequence <= level.after || level.isAway(sequence)) return
    if (level.droppedCount > 0) {
      level.droppedCount -= 1
      return
    }
    const run = level.runs.find((one) => one.kind === 'stored' && one.last >= sequence)
    if (run?.kind !== 'stored') return
    run.count -= 1
    this.#uncount(level, run, 0)
  }

  #committed(): Promise<void> {
    return new Promise((resolve) => this.#context.afterCommit(resolve))
  }

  #level(priority: number, after: number): BacklogLevel {
    const found = this.#levels[priority]
    if (found !== undefined && found.count > 0) return found
    const level = new BacklogLevel(after)
    this.#levels[priority] = level
    return level
  }
}

/** What has been read of the backlog, to be looked through for what has expired. */
interface Sweep {
  readonly page: readonly Surfaced[]
  /** The last sequence that is of interest. */
  readonly last: number
  readonly now: number
  readonly expire: (surfaced: Surfaced) => void
}

/** What a browser asks for: messages after `last` and before `before`. */
interface Peek {
  readonly priority: number
  readonly last: number
  readonly before: number
  readonly wanted: number
}

function surfacedEntry({ sequence, message, deliveryCount, redelivered, notBefore }: StoredEntry): Surfaced {
  return { sequence, message, isStored: true, deliveryCount, redelivered, notBefore }
}

function surfacedOf({ sequence, message, isStored, redelivered }: PagedMessage): Surfaced {
  return { sequence, message, isStored, deliveryCount: 0, redelivered, notBefore: 0 }
}
