import { readdir, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../clock.ts'
import { interruptedImport, journalAt, journalFolder, lockFolder, stagingFolder } from '../../store/open-journal.ts'
import { tell } from '../failure.ts'
import { type DataOptions, holderName, storedFolder } from './folder.ts'
import { OpaqueFormat } from './formats.ts'
import { mebibytes, print } from './names.ts'

/** Segments of which less than this is alive are emptied. */
const liveShareMax = 0.9
const blockBytes = 512

/** Makes the store of a stopped broker as small as it can be: moves what is alive together and deletes what is left over. */
export async function compact(options: DataOptions): Promise<void> {
  const folder = await storedFolder(options)
  const journal = join(folder, journalFolder)
  const lock = await lockFolder(folder, holderName('compact'))
  try {
    const before = await bytesOf(journal)
    const store = await journalAt(journal, systemClock, () => Promise.resolve())
    try {
      await store.open((name) => new OpaqueFormat(name))
      await store.compact(liveShareMax)
    } finally {
      await store.close()
    }
    for (const name of await readdir(journal)) if (name.startsWith('free-')) await unlink(join(journal, name))
    if (interruptedImport(folder) !== undefined) {
      await rm(join(folder, stagingFolder), { recursive: true })
      tell(`${stagingFolder}, which an import had left when it was interrupted, is removed`)
    }
    const after = await bytesOf(journal)
    if (options.json === true) print(JSON.stringify({ folder, bytesBefore: before, bytesAfter: after }))
    else tell(`${folder} takes ${mebibytes(after)}; it took ${mebibytes(before)}`)
  } finally {
    await lock.release()
  }
}

async function bytesOf(folder: string): Promise<number> {
  let blocks = 0
  for (const name of await readdir(folder)) blocks += (await stat(join(folder, name))).blocks
  return blocks * blockBytes
}
