import { fdatasync, write } from 'node:fs'
import { sealFrame } from '../frame.ts'
import type { CommitLane } from './commit-lane.ts'
import type { Flushed } from './disk.ts'

/** Commits through libuv's pool: no thread of its own, but other work in the pool delays it. */
export class PoolLane implements CommitLane {
  readonly #flushes: boolean

  /** `flushes`: false if somebody else flushes what is written. */
  constructor(flushes = true) {
    this.#flushes = flushes
  }

  allocate(bytes: number): Buffer {
    return Buffer.allocUnsafeSlow(bytes)
  }

  commit(fd: number, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    sealFrame(memory.subarray(0, bytes))
    this.#write(fd, memory, bytes, offset, flushed)
  }

  #write(fd: number, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    write(fd, memory, 0, bytes, offset, (error, written) => {
      if (error !== null) flushed(error)
      else if (written < bytes) this.#write(fd, memory.subarray(written), bytes - written, offset + written, flushed)
      else if (this.#flushes) fdatasync(fd, (fault) => flushed(fault ?? undefined))
      else flushed()
    })
  }

  /** What the pool has done only the event loop knows. */
  poll(): void {}

  close(): Promise<void> {
    return Promise.resolve()
  }
}
