import type { Flushed } from './disk.ts'

/** Seals frames, writes and flushes them, one at a time. */
export interface CommitLane {
  allocate(bytes: number): Buffer
  /** Writes the frame in the first `bytes` of `memory` at `offset` of the file and, mostly, flushes; calls back later, never at once. */
  commit(fd: number, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void
  /** Calls back now for a commit that is done and has not been heard of yet. */
  poll(): void
  close(): Promise<void>
}
