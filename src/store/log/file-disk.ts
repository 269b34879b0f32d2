import { type FileHandle, open, readdir, readFile, rename, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { flushFolder, makeFolder } from '../folder.ts'
import type { CommitLane } from './commit-lane.ts'
import type { Disk, DiskFile, Flushed } from './disk.ts'
import { assertKept, isDoubtful } from './lost-growth.ts'

/** An open file of the machine's file system. */
export class RealFile implements DiskFile {
  readonly name: string
  handle: FileHandle

  constructor(name: string, handle: FileHandle) {
    this.name = name
    this.handle = handle
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(bytes)
    let length = 0
    while (length < bytes) {
      const { bytesRead } = await this.handle.read(buffer, length, bytes - length, offset + length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return buffer.subarray(0, length)
  }

  async size(): Promise<number> {
    return (await this.handle.stat()).size
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

class GrowingFile extends RealFile {
  /** Bytes that it had when it was opened, or has had committed since. */
  length: number

  constructor(name: string, handle: FileHandle, length: number) {
    super(name, handle)
    this.length = length
  }
}

/** A folder of the machine's file system. */
export class FileDisk implements Disk {
  readonly #folder: string
  readonly #lane: CommitLane
  readonly #isDoubtful: boolean
  readonly #onClosed: () => Promise<void>

  private constructor(folder: string, lane: CommitLane, isDoubtful: boolean, onClosed: () => Promise<void>) {
    this.#folder = folder
    this.#lane = lane
    this.#isDoubtful = isDoubtful
    this.#onClosed = onClosed
  }

  /** Makes the folder if it is not there. `onClosed` is called when all is closed. */
  static async open(folder: string, lane: CommitLane, onClosed: () => Promise<void>): Promise<FileDisk> {
    await makeFolder(folder)
    return new FileDisk(folder, lane, await isDoubtful(folder), onClosed)
  }

  async list(): Promise<readonly string[]> {
    return await readdir(this.#folder)
  }

  async open(name: string): Promise<DiskFile> {
    const path = join(this.#folder, name)
    const handle = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return open(path, 'w+')
    })
    return new GrowingFile(name, handle, (await handle.stat()).size)
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(join(this.#folder, from), join(this.#folder, to))
  }

  async remove(name: string): Promise<void> {
    await unlink(join(this.#folder, name))
  }

  async flushFolder(): Promise<void> {
    await flushFolder(this.#folder)
  }

  async write(file: DiskFile, bytes: Uint8Array, offset: number): Promise<void> {
    if (!(file instanceof RealFile)) throw new Error('a file of another disk')
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await file.handle.write(bytes, at, bytes.length - at, offset + at)
      at += bytesWritten
    }
  }

  async truncate(file: DiskFile, bytes: number): Promise<void> {
    if (!(file instanceof RealFile)) throw new Error('a file of another disk')
    await file.handle.truncate(bytes)
  }

  async writeFile(name: string, bytes: Uint8Array): Promise<void> {
    const handle = await open(join(this.#folder, name), 'w')
    try {
      await handle.writeFile(bytes)
      await handle.sync()
      await this.#assertKept(handle)
    } finally {
      await handle.close()
    }
  }

  async readFile(name: string): Promise<Buffer> {
    return await readFile(join(this.#folder, name))
  }

  allocate(bytes: number): Buffer {
    return this.#lane.allocate(bytes)
  }

  commit(file: DiskFile, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    if (!(file instanceof GrowingFile)) throw new Error('a file of another disk')
    const grows = offset + bytes > file.length
    if (grows) file.length = offset + bytes
    this.#lane.commit(file.handle.fd, memory, bytes, offset, grows && this.#isDoubtful, flushed)
  }

  poll(): void {
    this.#lane.poll()
  }

  async flush(file: DiskFile): Promise<void> {
    if (!(file instanceof RealFile)) throw new Error('a file of another disk')
    await file.handle.datasync()
    await this.#assertKept(file.handle)
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#folder)
    return bavail * bsize
  }

  async close(): Promise<void> {
    await this.#lane.close()
    await this.#onClosed()
  }

  async #assertKept({ fd }: FileHandle): Promise<void> {
    if (this.#isDoubtful) await assertKept(fd)
  }
}
