/** An open file of a {@link Disk}. */
export interface DiskFile {
  readonly name: string
  /** Bytes from `offset`, fewer at the end of the file. */
  read(offset: number, bytes: number): Promise<Buffer>
  /** Bytes in the file now. */
  size(): Promise<number>
  close(): Promise<void>
}

/** Called when a commit is on disk, or with what went wrong; never before the call that started it returns. */
export type Flushed = (error?: Error) => void

/**
 * The one folder in which a log lives: all that the log asks of an operating system, so that a simulated disk can stand in
 * its place. Nothing is on disk until it has been flushed.
 */
export interface Disk {
  /** Names of the files. */
  list(): Promise<readonly string[]>
  /** Opens a file, which is made empty if it is not there. */
  open(name: string): Promise<DiskFile>
  /** The new name holds after {@link flushFolder}. */
  rename(from: string, to: string): Promise<void>
  remove(name: string): Promise<void>
  /** Makes new, renamed and removed names survive. */
  flushFolder(): Promise<void>
  /** Writes bytes at a place of a file; on disk after {@link flush}. */
  write(file: DiskFile, bytes: Uint8Array, offset: number): Promise<void>
  /** Makes the file shorter, or longer with zeros. */
  truncate(file: DiskFile, bytes: number): Promise<void>
  /** Writes a whole file and flushes it. */
  writeFile(name: string, bytes: Uint8Array): Promise<void>
  readFile(name: string): Promise<Buffer>
  /** Memory from which {@link commit} can write without a copy. */
  allocate(bytes: number): Buffer
  /** Seals the frame in the first `bytes` of memory that `allocate` gave, writes and flushes it. One at a time. */
  commit(file: DiskFile, memory: Buffer, bytes: number, offset: number, flushed: Flushed): void
  /** Tells now of a commit that is done, where its caller would hear of it only when the event loop gets to it. */
  poll(): void
  /** Flushes what commits and recovery left of a file. */
  flush(file: DiskFile): Promise<void>
  /** Bytes that are free on the device. */
  freeBytes(): Promise<number>
  close(): Promise<void>
}
