import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { JournalStore } from './journal-store.ts'
import { type Holder, StoreLock } from './lock.ts'
import { WorkerLane } from './log/commit-lane.ts'
import { FileDisk } from './log/file-disk.ts'

export interface JournalOptions {
  /** The data folder; made if it is not there. */
  readonly folder: string
  /** The broker's name, told to others that find the folder locked. */
  readonly name: string
  readonly clock: Clock
  /** True: wait while another process has the folder. */
  readonly waits: boolean
}

/**
 * The journal in a data folder, for this process alone. Throws a BrokerError `store-locked` that says who has the folder.
 * The lock is given up when the store is closed.
 */
export async function openJournal(options: JournalOptions): Promise<JournalStore> {
  const { folder, name, clock, waits } = options
  try {
    const lock = await StoreLock.take(folder, name, waits)
    if (!(lock instanceof StoreLock)) throw new BrokerError('store-locked', lockedSentence(folder, lock))
    const disk = await FileDisk.open(join(folder, 'journal'), new WorkerLane(), () => lock.release())
    return new JournalStore(disk, clock)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new BrokerError('store-failed', `the data folder ${folder} cannot be used: ${reason}`, { cause })
  }
}

function lockedSentence(folder: string, holder: Holder | undefined): string {
  const who =
    holder === undefined
      ? 'another process'
      : `the broker "${holder.name}", process ${holder.pid} on ${holder.host}, since ${holder.since}`
  return `the data folder ${folder} is in use by ${who}; choose another with --data, or wait for it with --standby`
}
