import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { systemClock } from '../../clock.ts'
import { flushFolder } from '../../store/folder.ts'
import { JournalCopy } from '../../store/journal-copy.ts'
import { JournalStore } from '../../store/journal-store.ts'
import { OverlayDisk } from '../../store/log/overlay-disk.ts'
import { journalFolder } from '../../store/open-journal.ts'
import type { OwnerRecord } from '../../store/store.ts'
import { CommandError, tell } from '../failure.ts'
import { Progress } from '../progress.ts'
import { type DataOptions, storedFolder } from './folder.ts'
import { OpaqueFormat } from './formats.ts'
import { countOf, mebibytes, messages, number, print } from './names.ts'

/** How often what a running broker has given up meanwhile is looked for again. */
const triesMax = 20

interface Backup {
  readonly messages: number
  readonly owners: number
  readonly bytes: number
}

/**
 * Copies the store to a folder that is not there yet or empty, whether a broker is running on it or not. The copy is a data folder
 * with everything that was on disk when the command was called, and is there as a whole or not at all.
 */
export async function backup(target: string, options: DataOptions): Promise<void> {
  const folder = await storedFolder(options)
  await checkTarget(target)
  const partial = `${target}.partial`
  await rm(partial, { recursive: true, force: true })
  const progress = new Progress('copied', await journalBytes(join(folder, journalFolder)), mebibytes)
  try {
    await mkdir(partial, { recursive: true })
    const result = await copied(join(folder, journalFolder), join(partial, journalFolder), progress)
    await flushFolder(partial)
    await rm(target, { recursive: true, force: true })
    await rename(partial, target)
    await flushFolder(dirname(join(target, '.')))
    progress.end()
    if (options.json === true) print(JSON.stringify({ folder: target, ...result }))
    else
      tell(
        `${messages(result.messages)} of ${number(result.owners)} owners, ${mebibytes(result.bytes)}, are backed up in ${target}`,
      )
  } finally {
    progress.end()
    await rm(partial, { recursive: true, force: true })
  }
}

async function checkTarget(target: string): Promise<void> {
  const found = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new CommandError(`${target} cannot be used for a backup: ${error.message}`)
  })
  if (found.length > 0) throw new CommandError(`${target} is not empty; a backup needs a folder of its own`)
}

/** Copies until nothing that the copy needs has been given up meanwhile. */
async function copied(from: string, to: string, progress: Progress): Promise<Backup> {
  const copy = new JournalCopy(from, to, {
    copied: (bytes) => {
      progress.count += bytes
    },
  })
  for (let tries = 0; tries < triesMax; tries += 1) {
    const { missing } = await copy.all()
    const owners = await openedCopy(to, missing)
    if (owners === undefined) continue
    await copy.flush()
    const count = owners.reduce((sum, owner) => sum + countOf(owner), 0)
    return { messages: count, owners: owners.length, bytes: await journalBytes(to) }
  }
  throw new CommandError(
    'the broker gives up segments faster than they can be copied; try again when it has less to do',
  )
}

/** What the copy opens with; undefined if it needs a segment that is missing. */
async function openedCopy(path: string, missing: ReadonlySet<number>): Promise<readonly OwnerRecord[] | undefined> {
  const scratch = await mkdtemp(join(tmpdir(), 'manifoldmq-data-'))
  const disk = await OverlayDisk.open(path, scratch, { hides: () => false, onClosed: () => Promise.resolve() })
  const store = new JournalStore(disk, systemClock)
  try {
    const owners = await store.open((name) => new OpaqueFormat(name))
    for (const segment of missing) for await (const _ of store.entriesIn(segment)) return undefined
    return owners
  } finally {
    await store.abandon()
  }
}

async function journalBytes(path: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(path)) {
    if (name.startsWith('free-')) continue
    const found = await stat(join(path, name)).catch(() => undefined)
    bytes += found?.size ?? 0
  }
  return bytes
}
