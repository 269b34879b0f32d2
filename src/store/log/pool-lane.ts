import { fdatasync, write } from 'node:fs'
import { promisify } from 'node:util'
import { sealFrame } from '../frame.ts'
import type { CommitLane } from './commit-lane.ts'
import type { Flushed } from './disk.ts'
import { assertKept } from './lost-growth.ts'

const writeAt = promisify(write)
const flush = promisify(fdatasync)

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

  commit(fd: number, memory: Buffer, bytes: number, offset: number, asks: boolean, flushed: Flushed): void {
    const frame = memory.subarray(0, bytes)
    sealFrame(frame)
    this.#commit(fd, frame, offset, asks).then(() => flushed(), flushed)
  }

  async #commit(fd: number, frame: Buffer, offset: number, asks: boolean): Promise<void> {
    for (let written = 0; written < frame.length; ) {
      written += (await writeAt(fd, frame, written, frame.length - written, offset + written)).bytesWritten
    }
    if (!this.#flushes) return
    await flush(fd)
    if (asks) await assertKept(fd)
  }

  /** What the pool has done only the event loop knows. */
  poll(): void {}

  close(): Promise<void> {
    return Promise.resolve()
  }
}
