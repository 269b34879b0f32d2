import { existsSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { assertKept, isDoubtful } from './log/lost-growth.ts'

/** Makes a folder, and those above it, if it is not there; those that it has made survive then. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await makeMissing(folder)
  if (first === undefined) return
  for (let made = resolve(folder); made.length >= first.length; made = dirname(made)) await flushFolder(dirname(made))
}

/** Makes new, renamed and removed names in it survive: the flush of a file does not promise that of its name (fsync(2), Linux). */
export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
    if (await isDoubtful(folder)) await assertKept(handle.fd)
  } finally {
    await handle.close()
  }
}

/** Returns the uppermost of the folders that were made. */
async function makeMissing(folder: string): Promise<string | undefined> {
  try {
    return await mkdir(resolve(folder), { recursive: true })
  } catch (error) {
    // So Node says it, whatever the reason is why the first one that is missing cannot be made.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    let missing = resolve(folder)
    while (!existsSync(dirname(missing))) missing = dirname(missing)
    await mkdir(missing)
    await mkdir(folder, { recursive: true })
    return missing
  }
}
