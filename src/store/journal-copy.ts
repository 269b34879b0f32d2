import { copyFile, mkdir, open, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checkpoint, decodeCheckpoint } from './checkpoint.ts'
import { type FrameHeader, isFrameIntact, readFrameHeader } from './frame.ts'

const checkpointPattern = /^ckpt-/
const indexPattern = /^index-/
const segmentPattern = /^seg-(\d+)$/
/** How often a copy goes on with a newer checkpoint because the broker has given up what the one before needs. */
const triesMax = 50

/** What a copy is told of as it goes on. */
export interface CopyEvents {
  /** So many bytes more have been copied. */
  copied(bytes: number): void
}

/** What a checkpoint says of the segments: in which the journal goes on, and which there were. */
interface StartingPoint {
  readonly segment: number
  readonly listed: readonly number[]
}

/** What {@link JournalCopy.all} has done. */
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

  /** Copies all of it, or of what has been copied before only what has changed. On disk after {@link flush}. */
  async all(): Promise<CopyReport> {
    const { segment, listed } = await this.#copyTail()
    this.#missing = new Set()
    for (const id of listed) {
      if (id >= segment || this.#settled.has(id)) continue
      if ((await this.#copySegment(id)) === undefined) this.#missing.add(id)
      else this.#settled.add(id)
    }
    for (const name of await readdir(this.#from)) if (indexPattern.test(name)) await this.#copyFile(name)
    return { missing: this.#missing }
  }

  /**
   * Copies the checkpoints and the segments from the newest one's place on: what a start reads. Returns what tells the names of
   * files that are to be taken from the copy only, since those of the journal may be newer.
   */
  async tail(): Promise<(name: string) => boolean> {
    const { segment } = await this.#copyTail()
    return (name) => checkpointPattern.test(name) || Number(segmentPattern.exec(name)?.[1] ?? -1) >= segment
  }

  async #copyTail(): Promise<StartingPoint> {
    await mkdir(this.#to, { recursive: true })
    for (let tries = 0; tries < triesMax; tries += 1) {
      const start = await this.#copyCheckpoints()
      const ids = new Set([...start.listed, ...(await this.#segments())].filter((id) => id >= start.segment))
      if (await this.#copyBackwards([...ids].sort((left, right) => right - left))) return start
    }
    throw new Error(`the broker gives up segments faster than ${this.#from} can be copied`)
  }

  /** Flushes all that has been copied. */
  async flush(): Promise<void> {
    for (const name of [...(await readdir(this.#to)), '.']) {
      const handle = await open(join(this.#to, name), 'r')
      await handle.sync()
      await handle.close()
    }
  }

  /** False if one has been given up meanwhile. */
  async #copyBackwards(ids: readonly number[]): Promise<boolean> {
    let isFollowed = false
    for (const id of ids) {
      if (this.#settled.has(id)) continue
      const end = await this.#copySegment(id)
      if (end === undefined) return false
      // Once there are frames in a later one nothing is added to it.
      if (isFollowed) this.#settled.add(id)
      isFollowed = isFollowed || end > 0
    }
    return true
  }

  async #copyCheckpoints(): Promise<StartingPoint> {
    for (const name of await readdir(this.#from)) if (checkpointPattern.test(name)) await this.#copyFile(name)
    let newest: Pick<Checkpoint, 'number' | 'segment' | 'segments'> = { number: 0, segment: 0, segments: [] }
    for (const name of (await readdir(this.#to)).filter((one) => checkpointPattern.test(one))) {
      const found = decodeCheckpoint(await readFile(join(this.#to, name)))
      // It was being written: the other one is whole.
      if (found === undefined) await unlink(join(this.#to, name))
      else if (found.number > newest.number) newest = found
    }
    return { segment: newest.segment, listed: newest.segments.map(({ id }) => id) }
  }

  async #segments(): Promise<number[]> {
    const names = await readdir(this.#from)
    return names.flatMap((name) => segmentPattern.exec(name)?.[1] ?? []).map(Number)
  }

  /** Returns the bytes of frames in it; undefined if it has been given up meanwhile. */
  async #copySegment(id: number): Promise<number | undefined> {
    const path = join(this.#from, `seg-${id}`)
    const before = await stat(path).catch(ignoreMissing)
    let bytes = await readFile(path).catch(ignoreMissing)
    if (before === undefined || bytes === undefined) return undefined
    const { end, isWhole } = framesOf(bytes, id)
    // Read while it was being written, a frame may be older than the one behind it.
    if (!isWhole) bytes = (await readFile(path).catch(ignoreMissing)) ?? bytes
    if ((await stat(path).catch(ignoreMissing))?.ino !== before.ino) return undefined
    await writeFile(join(this.#to, `seg-${id}`), bytes.subarray(0, end))
    this.#events.copied(end)
    return end
  }

  async #copyFile(name: string): Promise<void> {
    const to = join(this.#to, name)
    const copied = await copyFile(join(this.#from, name), to).then(() => true, ignoreMissing)
    if (copied === true) this.#events.copied((await stat(to)).size)
  }
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

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
