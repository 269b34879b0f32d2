import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { JournalCopy } from './journal-copy.ts'
import { defaultJournalSizes, defaultJournalTimes, type JournalTimes } from './journal-limits.ts'
import { JournalStore } from './journal-store.ts'
import { type Holder, StoreLock } from './lock.ts'
import { BestLane } from './log/best-lane.ts'
import { FileDisk } from './log/file-disk.ts'
import { OverlayDisk } from './log/overlay-disk.ts'

/** Where the journal lies in a data folder. */
export const journalFolder = 'journal'
/** Where in a data folder an import builds a store that is not there yet. */
export const stagingFolder = 'journal.importing'

export interface JournalOptions {
  /** The data folder; made if it is not there. */
  readonly folder: string
  /** The broker's name, told to others that find the folder locked. */
  readonly name: string
  readonly clock: Clock
  /** True: wait while another process has the folder. */
  readonly waits: boolean
  readonly times: JournalTimes
  /** Told why the journal has no thread of its own, if it has none. */
  readonly onPooled?: (cause: Error) => void
}

/**
 * The journal in a data folder, for this process alone. Throws a BrokerError `store-locked` that says who has the folder.
 * The lock is given up when the store is closed.
 */
export async function openJournal(options: JournalOptions): Promise<JournalStore> {
  const { folder, name, clock, waits } = options
  return await within(folder, async () => {
    const lock = await StoreLock.take(folder, name, waits)
    if (!(lock instanceof StoreLock)) {
      throw lockedError(folder, lock, 'choose another with --data, or wait for it with --standby')
    }
    return await journalAt(join(folder, journalFolder), clock, () => lock.release(), options)
  })
}

/** The journal in this very folder, which somebody has locked. `onClosed` is called when all is closed. */
export async function journalAt(
  path: string,
  clock: Clock,
  onClosed: () => Promise<void>,
  { times = defaultJournalTimes, onPooled = () => undefined }: Partial<Pick<JournalOptions, 'times' | 'onPooled'>> = {},
): Promise<JournalStore> {
  const disk = await FileDisk.open(path, new BestLane(times.syncMs === 0, onPooled), onClosed)
  return new JournalStore(disk, clock, defaultJournalSizes, times)
}

/** What is to be said of a data folder, by whoever holds its lock, if an import into it was killed; undefined: nothing. */
export function interruptedImport(folder: string): string | undefined {
  if (!existsSync(join(folder, stagingFolder))) return undefined
  const remedy = 'import the file again, or have it removed with manifoldmq data compact'
  return `an import into ${folder} was interrupted, and nothing of it is in the store; ${stagingFolder} is what it has left: ${remedy}`
}

/** The right to change what is in a data folder, for a tool. Throws a BrokerError `store-locked` that says who has it. */
export async function lockFolder(folder: string, name: string): Promise<StoreLock> {
  return await within(folder, async () => {
    const lock = await StoreLock.take(folder, name)
    if (lock instanceof StoreLock) return lock
    throw lockedError(folder, lock, 'stop it first')
  })
}

/** A journal that is looked into: nothing that is done to it reaches the folder. */
export interface ReadOnlyJournal {
  readonly store: JournalStore
  /** True if a broker is running on it: it is seen as it was at one moment, and segments may be given up meanwhile. */
  readonly isLive: boolean
}

/**
 * Opens the journal of a data folder to look into it. While it is open no broker can start on the folder; one that runs already is
 * a `store-locked` error, unless `mayRun`. Closing the store gives all up.
 */
export async function readJournal(folder: string, name: string, mayRun: boolean): Promise<ReadOnlyJournal> {
  return await within(folder, async () => {
    const path = join(folder, journalFolder)
    const lock = await StoreLock.takeToRead(folder, name)
    const isLive = !(lock instanceof StoreLock)
    if (isLive && !mayRun) throw lockedError(folder, lock, 'stop it first')
    const scratch = await mkdtemp(join(tmpdir(), 'manifoldmq-data-'))
    try {
      const hides = isLive ? await new JournalCopy(path, scratch, { copied: () => undefined }).tail() : () => false
      const onClosed = (): Promise<void> => (isLive ? Promise.resolve() : lock.release())
      const disk = await OverlayDisk.open(path, scratch, { hides, onClosed })
      return { store: new JournalStore(disk, systemClock), isLive }
    } catch (error) {
      await rm(scratch, { recursive: true, force: true })
      if (!isLive) await lock.release()
      throw error
    }
  })
}

async function within<T>(folder: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new BrokerError('store-failed', `the data folder ${folder} cannot be used: ${reason}`, { cause })
  }
}

function lockedError(folder: string, holder: Holder | undefined, remedy: string): BrokerError {
  const who =
    holder === undefined
      ? 'another process'
      : `the broker "${holder.name}", process ${holder.pid} on ${holder.host}, since ${holder.since}`
  return new BrokerError('store-locked', `the data folder ${folder} is in use by ${who}; ${remedy}`)
}
