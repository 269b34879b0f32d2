import { sealFrame } from '../../src/store/frame.ts'
import type { Disk, DiskFile, Flushed } from '../../src/store/log/disk.ts'

const sectorBytes = 512

/** A source of numbers in [0, 1). */
export type Random = () => number

export interface Write {
  readonly offset: number
  readonly bytes: Buffer
}

/** A file as the device has it, and what has been written since without a flush. */
export interface Content {
  flushed: Buffer
  written: Buffer
  unflushed: Write[]
}

/** The files by name, now and as a power loss may bring them back. */
export interface Names {
  readonly names: Map<string, Content>
  readonly flushedNames: Map<string, Content>
}

class SimulatedFile implements DiskFile {
  readonly name: string
  readonly content: Content
  readonly #disk: SimulatedDisk

  constructor(name: string, content: Content, disk: SimulatedDisk) {
    this.name = name
    this.content = content
    this.#disk = disk
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    await this.#disk.operation()
    return Buffer.from(this.content.written.subarray(offset, offset + bytes))
  }

  size(): Promise<number> {
    return Promise.resolve(this.content.written.length)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

/**
 * A disk that can lose power. What was not flushed is then kept or lost sector by sector, and names that were not flushed by
 * chance. `crashAfter` operations it stops answering.
 */
export class SimulatedDisk implements Disk {
  crashAfter: number
  isCrashed: boolean
  #operations: number
  #polls: number
  #commit: { readonly content: Content; readonly flushed: Flushed } | undefined
  readonly #names: Map<string, Content>
  readonly #flushedNames: Map<string, Content>

  constructor(names: Map<string, Content> = new Map(), flushedNames: ReadonlyMap<string, Content> = names) {
    this.crashAfter = Number.POSITIVE_INFINITY
    this.isCrashed = false
    this.#operations = 0
    this.#polls = 0
    this.#commit = undefined
    this.#names = names
    this.#flushedNames = new Map(flushedNames)
  }

  get operations(): number {
    return this.#operations
  }

  /** Bytes of all files. */
  get bytes(): number {
    let bytes = 0
    for (const { written } of this.#names.values()) bytes += written.length
    return bytes
  }

  /**
   * The disk after the power came back, or, with `kill`, as the next process finds it: nothing is lost then, but what was not
   * flushed is still not, and may be lost with the power later.
   */
  after(kind: 'power loss' | 'kill', random: Random): SimulatedDisk {
    if (kind === 'kill') return this.successor(this.#copied())
    const names = new Map<string, Content>()
    const all = new Set([...this.#names.keys(), ...this.#flushedNames.keys()])
    for (const name of all) {
      const now = this.#names.get(name)
      const before = this.#flushedNames.get(name)
      const content = now === before || random() < 0.5 ? now : before
      if (content === undefined) continue
      const bytes = tear(content, random)
      names.set(name, { flushed: bytes, written: Buffer.from(bytes), unflushed: [] })
    }
    return this.successor({ names, flushedNames: names })
  }

  /** The disk that takes this one's place after a crash; a disk with faults of its own hands them on. */
  protected successor({ names, flushedNames }: Names): SimulatedDisk {
    return new SimulatedDisk(names, flushedNames)
  }

  #copied(): Names {
    const copies = new Map<Content, Content>()
    const copyOf = (content: Content): Content => {
      const found = copies.get(content)
      if (found !== undefined) return found
      const { flushed, written, unflushed } = content
      const copy = { flushed: Buffer.from(flushed), written: Buffer.from(written), unflushed: [...unflushed] }
      copies.set(content, copy)
      return copy
    }
    const copied = (names: Map<string, Content>) =>
      new Map([...names].map(([name, one]) => [name, copyOf(one)] as const))
    return { names: copied(this.#names), flushedNames: copied(this.#flushedNames) }
  }

  /** Turns one bit over. */
  flip(name: string, offset: number, bit: number): void {
    const content = this.#names.get(name)
    if (content === undefined) throw new Error(`no file ${name}`)
    content.written[offset] = (content.written[offset] as number) ^ (1 << bit)
  }

  /** Counts an operation; never resolves once the power is gone. */
  async operation(): Promise<void> {
    await Promise.resolve()
    this.#count()
    if (this.isCrashed) await new Promise(() => undefined)
  }

  #count(): void {
    this.#operations += 1
    if (this.#operations >= this.crashAfter) this.isCrashed = true
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.#names.keys()])
  }

  async open(name: string): Promise<DiskFile> {
    await this.operation()
    let content = this.#names.get(name)
    if (content === undefined) {
      content = { flushed: Buffer.alloc(0), written: Buffer.alloc(0), unflushed: [] }
      this.#names.set(name, content)
    }
    return new SimulatedFile(name, content, this)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.operation()
    const content = this.#names.get(from)
    if (content === undefined) throw new Error(`no file ${from}`)
    this.#names.delete(from)
    this.#names.set(to, content)
  }

  async remove(name: string): Promise<void> {
    await this.operation()
    this.#names.delete(name)
  }

  async flushFolder(): Promise<void> {
    await this.operation()
    this.#flushedNames.clear()
    for (const [name, content] of this.#names) this.#flushedNames.set(name, content)
  }

  async write(file: DiskFile, bytes: Uint8Array, offset: number): Promise<void> {
    if (!(file instanceof SimulatedFile)) throw new Error('a file of another disk')
    write(file.content, { offset, bytes: Buffer.from(bytes) })
    await this.operation()
  }

  async truncate(file: DiskFile, bytes: number): Promise<void> {
    await this.operation()
    if (!(file instanceof SimulatedFile)) throw new Error('a file of another disk')
    const { content } = file
    const grown = Buffer.alloc(bytes)
    content.written.copy(grown)
    content.written = grown
  }

  async writeFile(name: string, bytes: Uint8Array): Promise<void> {
    let content = this.#names.get(name)
    if (content === undefined) {
      content = { flushed: Buffer.alloc(0), written: Buffer.alloc(0), unflushed: [] }
      this.#names.set(name, content)
    }
    content.written = Buffer.alloc(0)
    write(content, { offset: 0, bytes: Buffer.from(bytes) })
    await this.operation()
    flush(content)
    await this.operation()
  }

  async readFile(name: string): Promise<Buffer> {
    await this.operation()
    const content = this.#names.get(name)
    if (content === undefined) throw new Error(`no file ${name}`)
    return Buffer.from(content.written)
  }

  allocate(bytes: number): Buffer {
    return Buffer.alloc(bytes)
  }

  commit(file: DiskFile, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void {
    if (!(file instanceof SimulatedFile)) throw new Error('a file of another disk')
    const { content } = file
    sealFrame(memory.subarray(0, bytes))
    write(content, { offset, bytes: Buffer.from(memory.subarray(0, bytes)) })
    const commit = { content, flushed }
    this.#commit = commit
    void this.operation().then(async () => {
      if (this.#commit !== commit) return
      flush(content)
      await this.operation()
      if (this.#commit === commit) this.#committed()
    })
  }

  /** Every other time the commit under way is done, unless the power goes meanwhile. */
  poll(): void {
    this.#polls += 1
    const commit = this.#commit
    if (commit === undefined || this.isCrashed || this.#polls % 2 === 0) return
    this.#count()
    if (this.isCrashed) return
    flush(commit.content)
    this.#count()
    if (!this.isCrashed) this.#committed()
  }

  #committed(): void {
    const commit = this.#commit
    this.#commit = undefined
    commit?.flushed()
  }

  async flush(file: DiskFile): Promise<void> {
    await this.operation()
    if (file instanceof SimulatedFile) flush(file.content)
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(Number.POSITIVE_INFINITY)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function write(content: Content, one: Write): void {
  content.written = overlay(content.written, one)
  content.unflushed.push(one)
}

function flush(content: Content): void {
  for (const one of content.unflushed) content.flushed = overlay(content.flushed, one)
  if (content.flushed.length > content.written.length) content.flushed = Buffer.from(content.written)
  content.unflushed = []
}

/** What is left of a file when some sectors of what was not flushed reached the device and others did not. */
function tear(content: Content, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(content.flushed)
  const chance = random()
  for (const { offset, bytes: written } of content.unflushed) {
    for (let at = 0; at < written.length; ) {
      const end = Math.min(written.length, at + sectorBytes - ((offset + at) % sectorBytes))
      if (random() < chance) bytes = overlay(bytes, { offset: offset + at, bytes: written.subarray(at, end) })
      at = end
    }
  }
  return bytes
}

function overlay(under: Buffer, { offset, bytes }: Write): Buffer {
  if (offset + bytes.length <= under.length) {
    bytes.copy(under, offset)
    return under
  }
  const grown = Buffer.alloc(offset + bytes.length)
  under.copy(grown)
  bytes.copy(grown, offset)
  return grown
}
