import type { IndexEntry, SegmentUse } from './index-page.ts'
import type { Part } from './journal-frame.ts'
import { type Location, segmentOf } from './location.ts'
import { OwnerIndex } from './owner-index.ts'
import type { PageCache } from './page-cache.ts'
import type { Segments } from './segments.ts'
import type { OwnerId, OwnerRecord, OwnerSpec } from './store.ts'

/** An entry with the owner and priority it belongs to. */
export interface PlacedEntry {
  readonly owner: OwnerId
  readonly priority: number
  readonly entry: IndexEntry
}

/** Where an entry is put, or put anew. */
export interface EntryPlace {
  readonly location: Location
  readonly bytes: number
  /** Where the parts of its body are, if it has any. */
  readonly parts: readonly Part[] | undefined
}

/** What the journal's records have made so far: every owner with its entries. */
export class JournalIndex implements SegmentUse {
  readonly owners: Map<OwnerId, OwnerIndex>
  /** Parts of long bodies, by the place of their put. */
  readonly parts: Map<Location, readonly Part[]>
  /** Owners whose entries recovery has met, but not yet their definition. */
  readonly rebuilt: Set<OwnerId>
  /** The small state by key. */
  readonly states: Map<string, Uint8Array>
  lastOwner: OwnerId
  readonly cache: PageCache
  /** Takes an owner down before it changes, while a checkpoint is being made. */
  onChanging: ((owner: OwnerIndex) => void) | undefined
  readonly #segments: Segments

  constructor(segments: Segments, cache: PageCache) {
    this.owners = new Map()
    this.parts = new Map()
    this.rebuilt = new Set()
    this.states = new Map()
    this.lastOwner = 0
    this.cache = cache
    this.onChanging = undefined
    this.#segments = segments
  }

  define(id: OwnerId, spec: OwnerSpec): void {
    this.lastOwner = Math.max(this.lastOwner, id)
    const rebuilt = this.rebuilt.delete(id) ? this.owners.get(id) : undefined
    if (rebuilt === undefined) this.owners.set(id, new OwnerIndex(id, spec, this, this.cache))
    else {
      this.onChanging?.(rebuilt)
      rebuilt.spec = spec
    }
  }

  /** An owner that the journal speaks of without having defined it, as far as can be read. */
  rebuild(id: OwnerId): void {
    this.define(id, { kind: 'queue', name: `owner-${id}`, settings: {} })
    this.rebuilt.add(id)
  }

  remove(id: OwnerId): void {
    const owner = this.owners.get(id)
    if (owner === undefined) return
    this.onChanging?.(owner)
    this.owners.delete(id)
    for (const directory of owner.directories) directory?.clear()
  }

  put(
    id: OwnerId,
    priority: number,
    sequence: number,
    location: Location,
    bytes: number,
    parts?: readonly Part[],
  ): void {
    const owner = this.owners.get(id)
    if (owner === undefined) return
    if (this.onChanging !== undefined) this.onChanging(owner)
    if (sequence > owner.lastSequence) owner.lastSequence = sequence
    const shared = this.parts.size === 0 ? parts : (parts ?? this.parts.get(location))
    owner.directory(priority).append(sequence, location, bytes, shared !== undefined)
    this.#segments.add(segmentOf(location), 1, bytes)
    if (shared !== undefined) this.#holdParts(location, shared)
  }

  /** An entry's message lies elsewhere from now on, if it is still there. */
  relocate(id: OwnerId, priority: number, sequence: number, { location, bytes, parts }: EntryPlace): void {
    const directory = this.#changing(id)?.directories[priority]
    if (directory === undefined) return
    if (parts !== undefined) this.#holdParts(location, parts)
    directory.relocate(sequence, location, bytes, parts !== undefined)
  }

  /** Entries from one sequence to another leave. */
  ack(id: OwnerId, priority: number, from: number, to: number): void {
    this.#changing(id)?.directories[priority]?.kill(from, to)
  }

  redeliver(id: OwnerId, priority: number, sequence: number, deliveryCount: number, notBefore: number): void {
    this.#changing(id)?.directories[priority]?.redeliver(sequence, deliveryCount, notBefore)
  }

  horizon(id: OwnerId, sequence: number): void {
    const owner = this.#changing(id)
    if (owner !== undefined) owner.horizon = Math.max(owner.horizon, sequence)
  }

  setState(key: string, value: Uint8Array | undefined): void {
    if (value === undefined) this.states.delete(key)
    else this.states.set(key, value)
  }

  /** Forgets the parts of bodies whose segment is gone, and so nobody's any more. */
  pruneParts(): void {
    for (const location of this.parts.keys()) {
      if (this.#segments.segment(segmentOf(location)) === undefined) this.parts.delete(location)
    }
  }

  /** The entries whose message, or part of it, lies in a segment. What changes meanwhile may be missed or met twice. */
  async *entriesIn(segment: number): AsyncGenerator<PlacedEntry> {
    for (const owner of [...this.owners.values()]) {
      for (const directory of owner.directories) {
        for (const page of [...(directory?.pages ?? [])]) {
          if (page.isGone || (page.partCount === 0 && !page.liesIn((one) => one === segment))) continue
          await this.cache.load(page)
          if (page.isGone) continue
          const { priority } = page.home
          for (const entry of page.entries()) {
            if (this.#liesIn(entry.location, segment)) yield { owner: owner.id, priority, entry }
          }
        }
      }
    }
  }

  records(): OwnerRecord[] {
    return [...this.owners.values()].map((owner) => ({
      id: owner.id,
      spec: owner.spec,
      counts: owner.directories.map((directory) => directory?.liveCount ?? 0),
      bytes: owner.bytes,
      lastSequence: owner.lastSequence,
    }))
  }

  // What pages tell of their entries.

  add(segment: number, entries: number, bytes: number): void {
    this.#segments.add(segment, entries, bytes)
  }

  changing(id: OwnerId): void {
    this.#changing(id)
  }

  /** Entries that share a body share its parts too: each keeps them alive. */
  dropParts(location: Location): void {
    for (const part of this.parts.get(location) ?? []) this.#segments.add(segmentOf(part.location), -1, -part.length)
  }

  /** The owner, which is about to change. */
  #changing(id: OwnerId): OwnerIndex | undefined {
    const owner = this.owners.get(id)
    if (owner !== undefined && this.onChanging !== undefined) this.onChanging(owner)
    return owner
  }

  #liesIn(location: Location, segment: number): boolean {
    if (segmentOf(location) === segment) return true
    return this.parts.get(location)?.some((part) => segmentOf(part.location) === segment) ?? false
  }

  #holdParts(location: Location, parts: readonly Part[]): void {
    this.parts.set(location, parts)
    for (const part of parts) this.#segments.add(segmentOf(part.location), 1, part.length)
  }
}
