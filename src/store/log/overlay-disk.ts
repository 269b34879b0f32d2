import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { sealFrame } from '../frame.ts'
import type { Disk, DiskFile, Flushed } from './disk.ts'
import { RealFile } from './file-disk.ts'

/** Its handle is another one once something has been written to it. */
class OverlayFile extends RealFile {
  /** Where it lies below, as long as nothing has been written to it. */
  base: string | undefined

  constructor(name: string, handle: FileHandle, base: string | undefined) {
    super(name, handle)
    this.base = base
  }
}

export interface OverlayOptions {
  /** Files of the base that are not to be seen, whenever they come to be there. */
  hides(name: string): boolean
  /** Called when all is closed. */
  onClosed(): Promise<void>
}

/**
 * A folder as it is, whatever is done to it: what is written, renamed and removed is so only here, in a folder of its own. For
 * opening a journal to look into it. Nothing survives `close`, so nothing is flushed.
 */
export class OverlayDisk implements Disk {
  readonly #base: string
  readonly #scratch: string
  readonly #own: Set<string>
  readonly #hidden: Set<string>
  /** Files of the base under other names. */
  readonly #aliases: Map<string, string>
  readonly #options: OverlayOptions

  private constructor(base: string, scratch: string, options: OverlayOptions) {
    this.#base = base
    this.#scratch = scratch
    this.#options = options
    this.#own = new Set()
    this.#hidden = new Set()
    this.#aliases = new Map()
  }

  /** `scratch`: where changes go; files that are there already lie over those of the base. It is removed when all is closed. */
  static async open(base: string, scratch: string, options: OverlayOptions): Promise<OverlayDisk> {
    await mkdir(scratch, { recursive: true })
    const disk = new OverlayDisk(base, scratch, options)
    for (const name of await readdir(scratch)) disk.#own.add(name)
    return disk
  }

  async list(): Promise<readonly string[]> {
    const below = (await readdir(this.#base)).filter((name) => !this.#isHidden(name))
    return [...new Set([...below, ...this.#aliases.keys(), ...this.#own])]
  }

  async open(name: string): Promise<DiskFile> {
    const base = this.#baseOf(name)
    if (base !== undefined) {
      const handle = await open(base, 'r').catch(ignoreMissing)
      if (handle !== undefined) return new OverlayFile(name, handle, base)
    }
    const path = join(this.#scratch, name)
    const handle = await open(path, this.#own.has(name) ? 'r+' : 'w+')
    this.#own.add(name)
    return new OverlayFile(name, handle, undefined)
  }

  async rename(from: string, to: string): Promise<void> {
    const base = this.#baseOf(from)
    if (base === undefined) {
      await rename(join(this.#scratch, from), join(this.#scratch, to))
      this.#own.delete(from)
      this.#aliases.delete(to)
      this.#own.add(to)
    } else {
      this.#hide(from)
      this.#own.delete(to)
      this.#aliases.set(to, base)
    }
  }

  async remove(name: string): Promise<void> {
    if (this.#own.delete(name)) await unlink(join(this.#scratch, name))
    this.#hide(name)
  }

  flushFolder(): Promise<void> {
    return Promise.resolve()
  }

  async write(file: DiskFile, bytes: Uint8Array, offset: number): Promise<void> {
    const own = await this.#owned(file)
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await own.handle.write(bytes, at, bytes.length - at, offset + at)
      at += bytesWritten
    }
  }

  async truncate(file: DiskFile, bytes: number): Promise<void> {
    await (await this.#owned(file)).handle.truncate(bytes)
  }

  async writeFile(name: string, bytes: Uint8Array): Promise<void> {
    await writeFile(join(this.#scratch, name), bytes)
    this.#aliases.delete(name)
    this.#own.add(name)
  }

  async readFile(name: string): Promise<Buffer> {
    return await readFile(this.#baseOf(name) ?? join(this.#scratch, name))
  }

  allocate(bytes: number): Buffer {
    return Buffer.allocUnsafeSlow(bytes)
  }

  commit(file: DiskFile, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    const frame = memory.subarray(0, bytes)
    sealFrame(frame)
    this.write(file, frame, offset).then(() => flushed(), flushed)
  }

  poll(): void {}

  flush(): Promise<void> {
    return Promise.resolve()
  }

  /** There is always room: nothing is refused here. */
  freeBytes(): Promise<number> {
    return Promise.resolve(Number.POSITIVE_INFINITY)
  }

  async close(): Promise<void> {
    await rm(this.#scratch, { recursive: true, force: true })
    await this.#options.onClosed()
  }

  /** The path below; undefined if the file is one of here, or none. */
  #baseOf(name: string): string | undefined {
    if (this.#own.has(name)) return undefined
    const alias = this.#aliases.get(name)
    if (alias !== undefined) return alias
    return this.#isHidden(name) ? undefined : join(this.#base, name)
  }

  #isHidden(name: string): boolean {
    return this.#hidden.has(name) || this.#options.hides(name)
  }

  #hide(name: string): void {
    this.#aliases.delete(name)
    this.#hidden.add(name)
  }

  /** The file with a content of its own, that may be written to. */
  async #owned(file: DiskFile): Promise<OverlayFile> {
    if (!(file instanceof OverlayFile)) throw new Error('a file of another disk')
    if (file.base === undefined) return file
    const path = join(this.#scratch, file.name)
    await copyFile(file.base, path)
    await file.handle.close()
    file.handle = await open(path, 'r+')
    file.base = undefined
    this.#aliases.delete(file.name)
    this.#own.add(file.name)
    return file
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
