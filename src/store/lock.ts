import { mkdir, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { tryLock, unlock, waitForLock } from 'fs-native-extensions'

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
  readonly #file: Awaited<ReturnType<typeof open>>

  private constructor(file: Awaited<ReturnType<typeof open>>) {
    this.#file = file
  }

  /** Takes the lock; if another process has it, says who, or waits for it. */
  static async take(folder: string, name: string, waits = false): Promise<StoreLock | Holder | undefined> {
    await mkdir(folder, { recursive: true })
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

  async release(): Promise<void> {
    unlock(this.#file.fd)
    await this.#file.close()
  }
}

async function readHolder(file: Awaited<ReturnType<typeof open>>): Promise<Holder | undefined> {
  const text = (await file.readFile()).toString()
  try {
    return JSON.parse(text) as Holder
  } catch {
    return undefined
  }
}
