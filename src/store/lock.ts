import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { tryLock, unlock, waitForLock } from 'fs-native-extensions'
import { makeFolder } from './folder.ts'

/** Who holds a store, as it wrote it into the lock file. */
export interface Holder {
  readonly pid: number
  readonly host: string
  readonly name: string
  readonly since: string
}

/**
 * The exclusive right to a data folder: a lock of the operating system on one file in it, which ends with the process however
 * that ends. The text in the file only says who has it.
 */
export class StoreLock {
  readonly #file: LockFile | undefined

  private constructor(file: LockFile | undefined) {
    this.#file = file
  }

  /** Takes the lock; if another process has it, says who, or waits for it. */
  static async take(folder: string, name: string, waits = false): Promise<StoreLock | Holder | undefined> {
    await makeFolder(folder)
    const file = await open(join(folder, 'lock'), 'a+')
    if (!tryLock(file.fd)) {
      if (!waits) {
        const holder = await readHolder(file)
        await file.close()
        return holder
      }
      await waitForLock(file.fd)
    }
    await file.truncate(0)
    const holder: Holder = { pid: process.pid, host: hostname(), name, since: new Date().toISOString() }
    await file.write(`${JSON.stringify(holder)}\n`)
    await file.datasync()
    return new StoreLock(file)
  }

  /**
   * As `take`, to read only. On a file system that is read-only, where nobody can say who he is, the lock keeps others from an
   * exclusive one; if not even its file is there, nobody has ever had one.
   */
  static async takeToRead(folder: string, name: string): Promise<StoreLock | Holder | undefined> {
    try {
      return await StoreLock.take(folder, name)
    } catch (error) {
      if (codeOf(error) !== 'EROFS') throw error
    }
    const path = join(folder, 'lock')
    if (!existsSync(path)) return new StoreLock(undefined)
    const file = await open(path, 'r')
    if (tryLock(file.fd, { shared: true })) return new StoreLock(file)
    const holder = await readHolder(file)
    await file.close()
    return holder
  }

  async release(): Promise<void> {
    if (this.#file === undefined) return
    unlock(this.#file.fd)
    await this.#file.close()
  }
}

type LockFile = Awaited<ReturnType<typeof open>>

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

async function readHolder(file: LockFile): Promise<Holder | undefined> {
  const text = (await file.readFile()).toString()
  try {
    return JSON.parse(text) as Holder
  } catch {
    return undefined
  }
}
