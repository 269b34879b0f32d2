import type { Clock } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import type { ContentFormat } from '../message.ts'
import { Checkpoints } from './checkpoints.ts'
import { Compaction } from './compaction.ts'
import { DiskWatch } from './disk-watch.ts'
import { EntryReader } from './entry-reader.ts'
import { EpochFence } from './epoch-fence.ts'
import { RecordType } from './frame.ts'
import { IndexRepair } from './index-repair.ts'
import { IntervalSync } from './interval-sync.ts'
import { type Change, JournalBatch } from './journal-batch.ts'
import type { JournalFrame } from './journal-frame.ts'
import { JournalIndex, type PlacedEntry } from './journal-index.ts'
import { defaultJournalSizes, defaultJournalTimes, type JournalSizes, type JournalTimes } from './journal-limits.ts'
import { JournalReader } from './journal-reader.ts'
import type { Damage } from './journal-scan.ts'
import { JournalWriter, storeFailed } from './journal-writer.ts'
import type { Disk } from './log/disk.ts'
import { MessageDecoder } from './message-codec.ts'
import type { OwnerIndex } from './owner-index.ts'
import { PageCache } from './page-cache.ts'
import { PageFiles } from './page-files.ts'
import { Recovery } from './recovery.ts'
import { salvage } from './salvage.ts'
import { type Segment, Segments } from './segments.ts'
import type { CommitDone, MessageStore, OwnerId, OwnerRecord, StoredEntry, WriteBatch } from './store.ts'

/** What opening a journal has found. */
export interface OpenReport {
  /** Frames read after the checkpoint. */
  readonly frameCount: number
  /** True if the store is new or had been closed in order, so that flags are exact. */
  readonly wasClean: boolean
  readonly damages: readonly Damage[]
}

/**
 * The durable store: a journal of frames in segment files, an index of what is pending in it, and checkpoints of that index.
 */
export class JournalStore implements MessageStore {
  readonly isPaging = true
  readonly #disk: Disk
  readonly #sizes: JournalSizes
  readonly #segments: Segments
  readonly #index: JournalIndex
  readonly #writer: JournalWriter
  readonly #checkpoints: Checkpoints
  readonly #watch: DiskWatch
  readonly #fence: EpochFence
  readonly #sync: IntervalSync
  #entries: EntryReader | undefined
  #compaction: Compaction | undefined
  #report: OpenReport
  readonly #damages: Damage[]
  #isOpen: boolean
  #closing: Promise<void> | undefined

  constructor(
    disk: Disk,
    clock: Clock,
    sizes: JournalSizes = defaultJournalSizes,
    { syncMs, patienceMs }: JournalTimes = defaultJournalTimes,
  ) {
    this.#disk = disk
    this.#sizes = sizes
    this.#segments = new Segments(disk, sizes)
    const repair = new IndexRepair(this.#segments, sizes.frameBytesMax, (damage) => this.#damaged(damage))
    const cache = new PageCache(new PageFiles(disk), sizes, {
      repair: (page) => repair.columnsOf(page),
      failed: (error) => this.#writer.fail(error),
    })
    this.#index = new JournalIndex(this.#segments, cache)
    this.#writer = new JournalWriter(disk, clock, this.#segments, sizes, patienceMs, {
      flown: (frame) => this.#flown(frame),
      failed: (error) => {
        this.#stop()
        this.onFailure(error)
      },
      check: () => this.#fence.check(),
    })
    this.#checkpoints = new Checkpoints(disk, clock, this.#index, this.#segments, sizes, {
      flush: () => this.#sync.flush(),
      made: () => this.#compaction?.consider(),
      failed: (error) => this.#writer.fail(error),
    })
    this.#watch = new DiskWatch(disk, clock)
    this.#fence = new EpochFence(disk, clock, (error) => this.#writer.fail(error))
    this.#sync = new IntervalSync(disk, clock, syncMs, (error) => this.#writer.fail(error))
    this.#entries = undefined
    this.#compaction = undefined
    this.#damages = []
    this.onDamage = () => undefined
    this.onFailure = () => undefined
    this.#report = { frameCount: 0, wasClean: true, damages: [] }
    this.#isOpen = false
    this.#closing = undefined
  }

  /** Is told, once, that nothing can be written any more; whether a commit waits for it or not. */
  onFailure: (error: BrokerError) => void
  /** Is told of damage that comes to light while the store is open. */
  onDamage: (damage: Damage) => void

  /** What opening has found, and all damage that has come to light since. */
  get report(): OpenReport {
    return { ...this.#report, damages: [...this.#report.damages, ...this.#damages] }
  }

  get states(): ReadonlyMap<string, Uint8Array> {
    return this.#index.states
  }

  get refusal(): BrokerError | undefined {
    return this.#watch.refusal
  }

  get failure(): BrokerError | undefined {
    return this.#writer.failure
  }

  async open(formats: (name: string) => ContentFormat | undefined): Promise<readonly OwnerRecord[]> {
    try {
      return await this.#openAll(formats)
    } catch (error) {
      throw error instanceof BrokerError ? error : storeFailed('opened', error)
    }
  }

  async #openAll(formats: (name: string) => ContentFormat | undefined): Promise<readonly OwnerRecord[]> {
    const reader = new JournalReader(this.#segments, new MessageDecoder(formats), this.#index.parts)
    const commit = (batch: JournalBatch, done: CommitDone): void => this.#writer.commit(batch, done)
    this.#entries = new EntryReader(this.#disk, this.#index, reader, {
      commit,
      damaged: (damage) => this.#damaged(damage),
    })
    this.#compaction = new Compaction(this.#index, this.#segments, this.#entries, this.#sizes, commit)
    await this.#segments.open()
    const checkpoint = await this.#checkpoints.restore()
    const replay = await new Recovery(this.#index, this.#segments, this.#sizes).run(
      checkpoint ?? { segment: 0, offset: 0, frame: 1 },
    )
    const salvaged = replay.isWhole ? [] : await salvage(this.#index, this.#segments, reader)
    const wasClean = (checkpoint?.isClean ?? replay.isWhole) && replay.frameCount === 0
    for (const owner of this.#index.owners.values()) {
      // The horizon is ahead of what there is; what comes from now on nobody has seen.
      const seenUpTo = replay.isWhole ? Math.min(owner.horizon, owner.lastSequence) : owner.lastSequence
      if (!wasClean) owner.seenUpTo = Math.max(owner.seenUpTo, seenUpTo)
      owner.horizon = 0
    }
    const damages = [...this.#checkpoints.damages, ...replay.damages, ...salvaged, ...this.#damages.splice(0)]
    this.#report = { frameCount: replay.frameCount, wasClean, damages }
    const lastEpoch = Math.max(checkpoint?.epoch ?? 0, replay.epoch, await this.#fence.last())
    await this.#beginEpoch(lastEpoch + 1, Math.max(replay.nextFrame, 1))
    await this.#watch.look()
    this.#isOpen = true
    return this.#index.records()
  }

  batch(): WriteBatch {
    return new JournalBatch(() => {
      this.#index.lastOwner += 1
      return this.#index.lastOwner
    })
  }

  commit(batch: WriteBatch, done: CommitDone): void {
    if (!(batch instanceof JournalBatch)) throw new Error('a batch of another store')
    if (batch.amended.length > 0) this.#compaction?.noteAmended(batch.amended)
    this.#writer.commit(batch, done)
  }

  poll(): void {
    this.#disk.poll()
  }

  async read(
    id: OwnerId,
    priority: number,
    after: number,
    count: number,
    onUnreadable: (sequence: number) => void = () => undefined,
  ): Promise<readonly StoredEntry[]> {
    return (await this.#entries?.read(id, priority, { after, count }, onUnreadable)) ?? []
  }

  /** The segments that there are. */
  get segments(): Iterable<Segment> {
    return this.#segments.all
  }

  /** The entries whose message, or part of it, lies in a segment. What changes meanwhile may be missed or met twice. */
  entriesIn(segment: number): Iterable<PlacedEntry> | AsyncIterable<PlacedEntry> {
    return this.#index.entriesIn(segment)
  }

  /** Moves what is alive out of every segment of which less than that share is, whether it is needed or not. */
  async compact(liveShareMax: number): Promise<void> {
    await this.#compaction?.run(liveShareMax)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** As `close`, but without a last checkpoint: the next start reads again what came after the one before. */
  abandon(): Promise<void> {
    this.#isOpen = false
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#compaction?.stop()
    await this.#writer.idle()
    await this.#writer.landed()
    if (this.#writer.failure === undefined && this.#isOpen) await this.#checkpoints.close()
    this.#stop()
    await this.#segments.close()
    await this.#index.cache.files.close()
    await this.#disk.close()
  }

  #stop(): void {
    this.#watch.stop()
    this.#fence.stop()
    this.#sync.stop()
    this.#checkpoints.stop()
  }

  /**
   * The frame that recovery found last may be in the operating system's memory only: it is flushed, and a new segment begun,
   * before anything is appended, so that no later frame can outlive it.
   */
  async #beginEpoch(epoch: number, nextFrame: number): Promise<void> {
    for (const segment of this.#segments.all) await this.#disk.flush(segment.file)
    await this.#fence.take(epoch)
    this.#writer.epoch = epoch
    this.#writer.nextFrame = nextFrame
    const rebuilt = [...this.#index.rebuilt]
    const batch = new JournalBatch(() => rebuilt.shift() ?? 0)
    batch.epoch()
    for (const id of [...rebuilt]) batch.define((this.#index.owners.get(id) as OwnerIndex).spec)
    await new Promise<void>((resolve, reject) => {
      this.#writer.commit(batch, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }

  #damaged(damage: Damage): void {
    this.#damages.push(damage)
    if (this.#isOpen) this.onDamage(damage)
  }

  #flown(frame: JournalFrame): void {
    const index = this.#index
    const { changes } = frame
    for (let at = 0; at < changes.length; at += 1) {
      const change = changes[at] as Change
      const { owner, priority, sequence } = change
      const location = frame.locations[at] as number
      const bytes = frame.lengths[at] as number
      switch (change.type) {
        case RecordType.put:
          index.put(owner, priority, sequence, location, bytes, frame.parts.get(at))
          break
        case RecordType.rewrite:
          index.relocate(owner, priority, sequence, { location, bytes, parts: frame.parts.get(at) })
          break
        case RecordType.ack:
          index.ack(owner, priority, sequence, change.number)
          break
        case RecordType.redeliver:
          index.redeliver(owner, priority, sequence, change.deliveryCount, change.number)
          break
        case RecordType.define:
          if (change.spec !== undefined) index.define(owner, change.spec)
          break
        case RecordType.remove:
          index.remove(owner)
          break
        case RecordType.horizon:
          index.horizon(owner, sequence)
          break
        case RecordType.state:
          if (change.state !== undefined) index.setState(change.state.key, change.state.value)
          break
        case RecordType.epoch:
        case RecordType.part:
        case RecordType.reference:
          break
        default:
          change.type satisfies never
      }
    }
    if (frame.place === undefined || frame.isEmpty) return
    this.#sync.wrote(frame.place.segment)
    this.#checkpoints.advance(frame, this.#writer.epoch)
    this.#watch.wrote(frame.bytes)
  }
}
