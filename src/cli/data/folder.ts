import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../config.ts'
import type { JournalStore } from '../../store/journal-store.ts'
import { interruptedImport, journalFolder, readJournal } from '../../store/open-journal.ts'
import type { OwnerRecord } from '../../store/store.ts'
import type { ConfigOptions } from '../config.ts'
import { CommandError, tell } from '../failure.ts'
import { formatsByName } from './formats.ts'

export type DataOptions = ConfigOptions

/** What a command sees of a store. */
export interface OpenStore {
  readonly folder: string
  readonly store: JournalStore
  readonly owners: readonly OwnerRecord[]
  /** True if a broker is running on it. */
  readonly isLive: boolean
}

/** The data folder that a broker with these options would use. */
export async function dataFolder(options: DataOptions): Promise<string> {
  const { config } = await loadConfig({ file: options.config, data: options.data, set: options.set ?? [] })
  return config.data
}

/** As {@link dataFolder}; throws if there is no store in it. */
export async function storedFolder(options: DataOptions): Promise<string> {
  const folder = await dataFolder(options)
  if (existsSync(join(folder, journalFolder))) return folder
  throw new CommandError(`there is no store in ${folder}; name the data folder with --data`)
}

/** Opens the store to look into it, and closes it in any case. Nothing is changed. */
export async function withStore<T>(
  options: DataOptions,
  command: string,
  mayRun: boolean,
  use: (open: OpenStore) => Promise<T>,
): Promise<T> {
  const folder = await storedFolder(options)
  const formats = await formatsByName()
  const { store, isLive } = await readJournal(folder, holderName(command), mayRun)
  try {
    const interrupted = isLive ? undefined : interruptedImport(folder)
    if (interrupted !== undefined) tell(interrupted)
    const owners = await store.open(formats)
    return await use({ folder, store, owners, isLive })
  } finally {
    await store.abandon()
  }
}

/** How a command calls itself to others who find the folder locked. */
export function holderName(command: string): string {
  return `manifoldmq data ${command}`
}
