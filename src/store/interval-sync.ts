import type { Clock, Timer } from '../clock.ts'
import type { Disk } from './log/disk.ts'
import type { Segment } from './segments.ts'

/** Flushes what has been written now and then instead of with each commit, and before a checkpoint. */
export class IntervalSync {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #ms: number
  readonly #failed: (error: unknown) => void
  /** Segments with frames that have not been flushed. */
  readonly #dirty: Set<Segment>
  #timer: Timer | undefined
  #isStopped: boolean

  /** `ms`: at the latest so long after a write; 0: every commit has been flushed already. */
  constructor(disk: Disk, clock: Clock, ms: number, failed: (error: unknown) => void) {
    this.#disk = disk
    this.#clock = clock
    this.#ms = ms
    this.#failed = failed
    this.#dirty = new Set()
    this.#timer = undefined
    this.#isStopped = false
  }

  /** A frame has been written into the segment. */
  wrote(segment: Segment): void {
    if (this.#ms === 0) return
    this.#dirty.add(segment)
    if (this.#timer !== undefined || this.#isStopped) return
    this.#timer = this.#clock.after(this.#ms, () => {
      this.#timer = undefined
      this.flush().catch(this.#failed)
    })
  }

  /** Resolves when all frames written so far are on disk. */
  async flush(): Promise<void> {
    const segments = [...this.#dirty]
    this.#dirty.clear()
    for (const { file } of segments) await this.#disk.flush(file)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }
}
