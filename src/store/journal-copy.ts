import { copyFile, mkdir, open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeCheckpoint } from './checkpoint.ts'
import { type FrameHeader, isFrameIntact, readFrameHeader } from './frame.ts'

const checkpointPattern = /^ckpt-/
const indexPattern = /^index-/
const segmentPattern = /^seg-(\d+)$/
/** How often a copy is begun anew because the broker has made a checkpoint meanwhile. */
const triesMax = 50

/** What a copy is told of as it goes on. */
export interface CopyEvents {
  /** So many bytes more have been copied. */
  copied(bytes: number): void
}

/** What {@link copyJournal} has done. */
export interface CopyReport {
  /** Segments that the broker gave up before they could be copied: whatever had been in them has left. */
  readonly missing: ReadonlySet<number>
}

/**
 * Copies a journal that another process may be writing, so that the copy opens with everything that was on disk before it began.
 *
 * A start needs a checkpoint, the segments from its place on and those that it lists. Segments are copied from the newest to the
 * oldest: frames are written in the order of their numbers, so that what is found in one segment was preceded by all that its
 * predecessors hold when they are copied later. A segment that is given up meanwhile changes its name before it is written over.
 */
export class JournalCopy {
  readonly #from: string
  readonly #to: string
  readonly #events: CopyEvents
  /** Segments copied as they will always be. */
  readonly #settled: Set<number>
  #missing: Set<number>

  constructor(from: string, to: string, events: CopyEvents) {
    this.#from = from
    this.#to = to
    this.#events = events
    this.#settled = new Set()
    this.#missing = new Set()
  }

  /** Copies all of it, or of what has been copied before only what has changed. */
  async all(): Promise<CopyReport> {
    const firstTail = await this.tail()
    this.#missing = new Set()
    for (const id of await this.#segments()) {
      if (id >= firstTail || this.#settled.has(id)) continue
      if (await this.#copySegment(id)) this.#settled.add(id)
      else this.#missing.add(id)
    }
    for (const name of await readdir(this.#from)) if (indexPattern.test(name)) await this.#copyFile(name)
    return { missing: this.#missing }
  }

  /** Copies the checkpoints and the segments from the newest one's place on. Returns the first of those. */
  async tail(): Promise<number> {
    await mkdir(this.#to, { recursive: true })
    for (let tries = 0; tries < triesMax; tries += 1) {
      const { number, segment } = await this.#copyCheckpoints()
      const ids = (await this.#segments()).filter((id) => id >= segment)
      let isWhole = true
      for (const id of ids.reverse()) isWhole = isWhole && (await this.#copySegment(id))
      if (isWhole && (await newestCheckpoint(this.#from)).number === number) return segment
    }
    throw new Error(`the broker makes checkpoints faster than ${this.#from} can be copied`)
  }

  async #copyCheckpoints(): Promise<{ readonly number: number; readonly segment: number }> {
    for (const name of await readdir(this.#from)) if (checkpointPattern.test(name)) await this.#copyFile(name)
    return await newestCheckpoint(this.#to)
  }

  async #segments(): Promise<number[]> {
    const names = await readdir(this.#from)
    const ids = names.flatMap((name) => segmentPattern.exec(name)?.[1] ?? []).map(Number)
    return ids.sort((left, right) => left - right)
  }

  /** False if it has been given up meanwhile. */
  async #copySegment(id: number): Promise<boolean> {
    const path = join(this.#from, `seg-${id}`)
    const before = await stat(path).catch(ignoreMissing)
    let bytes = await readFile(path).catch(ignoreMissing)
    if (before === undefined || bytes === undefined) return false
    const { end, isWhole } = framesOf(bytes, id)
    // Read while it was being written, a frame may be older than the one behind it.
    if (!isWhole) bytes = (await readFile(path).catch(ignoreMissing)) ?? bytes
    if ((await stat(path).catch(ignoreMissing))?.ino !== before.ino) return false
    await writeDurably(join(this.#to, `seg-${id}`), bytes.subarray(0, end))
    this.#events.copied(end)
    return true
  }

  async #copyFile(name: string): Promise<void> {
    const to = join(this.#to, name)
    const copied = await copyFile(join(this.#from, name), to).then(() => true, ignoreMissing)
    if (copied === undefined) return
    const file = await open(to, 'r+')
    await file.datasync()
    this.#events.copied((await file.stat()).size)
    await file.close()
  }
}

/** The number of the newest checkpoint of a folder and the segment it goes on in; 0 if there is none. */
async function newestCheckpoint(folder: string): Promise<{ readonly number: number; readonly segment: number }> {
  let newest = { number: 0, segment: 0 }
  for (const name of (await readdir(folder)).filter((one) => checkpointPattern.test(one))) {
    const found = decodeCheckpoint(await readFile(join(folder, name)))
    if (found !== undefined && found.number > newest.number) newest = found
  }
  return newest
}

/** Where the last intact frame of a segment ends, and whether there is nothing else before that. */
export function framesOf(bytes: Buffer, segment: number): { readonly end: number; readonly isWhole: boolean } {
  let end = 0
  let isWhole = true
  for (let at = 0; at < bytes.length; ) {
    const header = frameAt(bytes, at, segment)
    if (header !== undefined) {
      isWhole = isWhole && at === end
      end = at + header.bytes
      at = end
      continue
    }
    at = bytes.indexOf('MMJ1', at + 1, 'latin1')
    if (at < 0) break
  }
  return { end, isWhole }
}

function frameAt(bytes: Buffer, at: number, segment: number): FrameHeader | undefined {
  const header = readFrameHeader(bytes, at)
  return header?.segment === segment && isFrameIntact(bytes, at, header) ? header : undefined
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
