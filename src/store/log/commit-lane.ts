import type { Flushed } from './disk.ts'

/** Seals frames, writes and flushes them, one at a time. */
export interface CommitLane {
  allocate(bytes: number): Buffer
  /**
   * Writes the frame in the first `bytes` of `memory` at `offset` of the file and, mostly, flushes; calls back later, never at once.
   * `asks`: whether the flush is to be believed only after `assertKept`.
   */
  commit(fd: number, memory: Buffer, bytes: number, offset: number, asks: boolean, flushed: Flushed): void
  /** Calls back now for a commit that is done and has not been heard of yet. */
  poll(): void
  close(): Promise<void>
}
