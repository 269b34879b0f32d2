import type { CommitLane } from './commit-lane.ts'
import type { Flushed } from './disk.ts'
import { PoolLane } from './pool-lane.ts'
import { WorkerLane } from './worker-lane.ts'

/**
 * Commits through a thread of its own, or through libuv's pool where none can be had: the system may have none left, and who packs
 * the broker into one file leaves the thread's file out.
 */
export class BestLane implements CommitLane {
  readonly #flushes: boolean
  readonly #onPooled: (cause: Error) => void
  #lane: WorkerLane | PoolLane

  /** `onPooled` is told, once, why there is no thread; at the first commit at the latest. */
  constructor(flushes: boolean, onPooled: (cause: Error) => void) {
    this.#flushes = flushes
    this.#onPooled = onPooled
    try {
      this.#lane = new WorkerLane(flushes)
    } catch (error) {
      this.#lane = this.#pooled(error as Error)
    }
  }

  allocate(bytes: number): Buffer {
    return this.#lane.allocate(bytes)
  }

  commit(fd: number, memory: Buffer, bytes: number, offset: number, asks: boolean, flushed: Flushed): void {
    const lane = this.#lane
    if (lane instanceof PoolLane || lane.hasBegun) {
      lane.commit(fd, memory, bytes, offset, asks, flushed)
      return
    }
    lane.commit(fd, memory, bytes, offset, asks, (error) => {
      if (error === undefined || lane.hasBegun) {
        flushed(error)
        return
      }
      this.#lane = this.#pooled(error)
      this.#lane.commit(fd, memory, bytes, offset, asks, flushed)
    })
  }

  poll(): void {
    this.#lane.poll()
  }

  close(): Promise<void> {
    return this.#lane.close()
  }

  #pooled(cause: Error): PoolLane {
    this.#onPooled(cause)
    return new PoolLane(this.#flushes)
  }
}
