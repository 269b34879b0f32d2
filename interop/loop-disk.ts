import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './clients.ts'

/** Sparse; the broker takes durable messages only while 512 MiB are free. */
const diskSize = '1G'

/** A file system of its own, ext4 in a file. Only root can have one. */
export class LoopDisk {
  readonly mountPoint: string
  readonly #folder: string
  #isMounted: boolean

  private constructor(folder: string) {
    this.mountPoint = join(folder, 'mnt')
    this.#folder = folder
    this.#isMounted = false
  }

  static async make(): Promise<LoopDisk> {
    const disk = new LoopDisk(await mkdtemp(join(tmpdir(), 'manifoldmq-disk-')))
    await mkdir(disk.mountPoint)
    await run('truncate', ['--size', diskSize, disk.#image])
    await run('mkfs.ext4', ['-q', '-F', disk.#image])
    return disk
  }

  /** Mounts it for writing, which also puts right what an abort has left undone. */
  async mount(): Promise<void> {
    await run('mount', ['-o', 'loop', this.#image, this.mountPoint])
    this.#isMounted = true
  }

  /** Makes it read-only, while nobody has a file open to write. */
  async makeReadOnly(): Promise<void> {
    await run('mount', ['-o', 'remount,ro', this.mountPoint])
  }

  /** Makes it read-only as the kernel does after an error of the device, whoever is writing. */
  async abort(): Promise<void> {
    await run('mount', ['-o', 'remount,abort', this.mountPoint])
  }

  async unmount(): Promise<void> {
    await run('umount', [this.mountPoint])
    this.#isMounted = false
  }

  /** Even if somebody still uses it, so that what has gone wrong before is what is heard of. */
  async remove(): Promise<void> {
    if (this.#isMounted) await run('umount', ['--lazy', this.mountPoint])
    await rm(this.#folder, { recursive: true, force: true })
  }

  get #image(): string {
    return join(this.#folder, 'image')
  }
}
