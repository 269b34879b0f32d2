import type { StoredEntry } from '../store/store.ts'
import { ExpiryMarks } from './expiry-marks.ts'
import type { MemoryPages } from './memory-pages.ts'
import { Ring } from './ring.ts'

/** Messages that came one after the other and are kept in the same way: in memory pages, or by the store alone. */
export type Run = MemoryRun | StoredRun

interface MemoryRun {
  readonly kind: 'memory'
  readonly pages: MemoryPages
}

interface StoredRun {
  readonly kind: 'stored'
  count: number
  /** The last sequence of those it has held. */
  last: number
}

/** The backlog of one priority. */
export class BacklogLevel {
  readonly runs: Run[]
  count: number
  /** The store's entries up to this sequence are not in the backlog. */
  after: number
  /** Entries after it that are not either: delayed ones, which wait elsewhere, in order. */
  readonly elsewhere: Set<number>
  /** Nor are those that leave the store with the next commit, or have left it while it was being read. */
  readonly leaving: Set<number>
  left: number[]
  /** When those that have not been read expire. */
  readonly marks: ExpiryMarks
  /** So many of those that are read next have been dropped: they do not count any more. */
  droppedCount: number
  /** Read from the store, in order, and not asked for yet. */
  readonly loaded: Ring<StoredEntry>
  /** None of those expires before this time. */
  loadedExpiryFrom: number
  isLoading: boolean

  constructor(after: number) {
    this.runs = []
    this.count = 0
    this.after = after
    this.elsewhere = new Set()
    this.leaving = new Set()
    this.left = []
    this.marks = new ExpiryMarks()
    this.droppedCount = 0
    this.loaded = new Ring()
    this.loadedExpiryFrom = Number.POSITIVE_INFINITY
    this.isLoading = false
  }

  /** What has left the store, and no reading under way can bring up any more, need not be remembered. */
  settle(): void {
    if (this.isLoading || this.left.length === 0) return
    for (const sequence of this.left) this.leaving.delete(sequence)
    this.left = []
  }

  load(entry: StoredEntry): void {
    this.loaded.push(entry)
    const { expiresAt } = entry.message
    if (expiresAt > 0) this.loadedExpiryFrom = Math.min(this.loadedExpiryFrom, expiresAt)
  }

  /** The loaded one with this sequence, if it is among them. */
  loadedAt(sequence: number): StoredEntry | undefined {
    for (const entry of this.loaded) if (entry.sequence === sequence) return entry
    return undefined
  }

  /** Those of the loaded ones that have expired, but for those that have `begun`; they stay where they are. */
  loadedExpired(now: number, begun: ReadonlySet<number> | undefined): readonly StoredEntry[] {
    if (this.loadedExpiryFrom > now) return []
    this.loadedExpiryFrom = Number.POSITIVE_INFINITY
    return [...this.loaded].filter(({ sequence, message: { expiresAt } }) => {
      if (expiresAt > now) this.loadedExpiryFrom = Math.min(this.loadedExpiryFrom, expiresAt)
      return expiresAt > 0 && expiresAt <= now && begun?.has(sequence) !== true
    })
  }

  /** It has been read up to a sequence. */
  advance(sequence: number): void {
    this.after = Math.max(this.after, sequence)
    for (const passed of this.elsewhere) {
      if (passed > this.after) break
      this.elsewhere.delete(passed)
    }
    this.marks.pass(this.after)
    this.settle()
  }

  /** True if an entry after what has been read is not in the backlog. */
  isAway(sequence: number): boolean {
    return this.elsewhere.has(sequence) || this.leaving.has(sequence)
  }
}

/** The first sequence in memory at this run or after it. */
export function startOf(runs: readonly Run[], from: number): number {
  for (const run of runs.slice(from)) {
    const [first] = run.kind === 'memory' ? run.pages.peek(0, 1) : []
    if (first !== undefined) return first.sequence
  }
  return Number.POSITIVE_INFINITY
}

/** True of a run in memory of which nothing is left. */
export function isEmpty(run: Run | undefined): boolean {
  return run?.kind === 'memory' && run.pages.count === 0
}
