import { futimes, futimesSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { promisify } from 'node:util'

/**
 * Linux's ext4 can answer fdatasync with success although what a file has grown by is lost: if its journal is aborted, as after an
 * error of the device, before fdatasync looks for the transaction, it finds none and takes that for done
 * (jbd2_complete_transaction, Linux 6.18). Found by aborting a file system under a writer: of 120 times, 20.
 *
 * So whoever has to rely on it asks afterwards, by changing the file's times: the first change makes ext4 notice that its journal
 * is aborted, the second is refused for that with EROFS or EIO. Bytes that a file had before need no journal.
 */

/** What statfs(2) calls ext2, ext3 and ext4, and what lies over another file system, which can be one of these. */
const doubtfulTypes: readonly number[] = [0xef53, 0x794c7630]

const timesAsked = 2
const touch = promisify(futimes)

/** Whether a flush of files that grow in this folder is to be asked about. */
export async function isDoubtful(folder: string): Promise<boolean> {
  return doubtfulTypes.includes((await statfs(folder)).type)
}

/** Throws if what has been flushed to this file may be lost. */
export function assertKeptSync(fd: number): void {
  const now = new Date()
  try {
    for (let count = 0; count < timesAsked; count += 1) futimesSync(fd, now, now)
  } catch (error) {
    throwUnlessForeign(error)
  }
}

/** As {@link assertKeptSync}. */
export async function assertKept(fd: number): Promise<void> {
  const now = new Date()
  try {
    for (let count = 0; count < timesAsked; count += 1) await touch(fd, now, now)
  } catch (error) {
    throwUnlessForeign(error)
  }
}

/** The times of a file that belongs to somebody else cannot be changed; there nothing can be asked. */
function throwUnlessForeign(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
}
