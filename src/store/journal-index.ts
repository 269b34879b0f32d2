import type { Part } from './journal-frame.ts'
import {
  type Directory,
  type IndexEntry,
  type IndexPage,
  type Location,
  OwnerIndex,
  segmentOf,
} from './pending-index.ts'
import type { Segments } from './segments.ts'
import type { OwnerId, OwnerRecord, OwnerSpec } from './store.ts'

/** An entry with the owner and priority it belongs to. */
export interface PlacedEntry {
  readonly owner: OwnerId
  readonly priority: number
  readonly entry: IndexEntry
}

/** What the journal's records have made so far: every owner with its entries. */
export class JournalIndex {
  readonly owners: Map<OwnerId, OwnerIndex>
  /** Parts of long bodies, by the place of their put. */
  readonly parts: Map<Location, readonly Part[]>
  /** Owners whose entries recovery has met, but not yet their definition. */
  readonly rebuilt: Set<OwnerId>
  /** The small state by key. */
  readonly states: Map<string, Uint8Array>
  lastOwner: OwnerId
  readonly #segments: Segments

  constructor(segments: Segments) {
    this.owners = new Map()
    this.parts = new Map()
    this.rebuilt = new Set()
    this.states = new Map()
    this.lastOwner = 0
    this.#segments = segments
  }

  define(id: OwnerId, spec: OwnerSpec): void {
    this.lastOwner = Math.max(this.lastOwner, id)
    const rebuilt = this.rebuilt.delete(id) ? this.owners.get(id) : undefined
    if (rebuilt === undefined) this.owners.set(id, new OwnerIndex(id, spec))
    else rebuilt.spec = spec
  }

  /** An owner that the journal speaks of without having defined it, as far as can be read. */
  rebuild(id: OwnerId): void {
    this.define(id, { kind: 'queue', name: `owner-${id}`, settings: {} })
    this.rebuilt.add(id)
  }

  remove(id: OwnerId): void {
    const owner = this.owners.get(id)
    if (owner === undefined) return
    this.owners.delete(id)
    for (const directory of owner.directories) {
      if (directory !== undefined) this.#clear(directory, 0, Number.POSITIVE_INFINITY)
    }
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
    owner.lastSequence = Math.max(owner.lastSequence, sequence)
    owner.directory(priority).append(sequence, location, bytes)
    this.#segments.add(segmentOf(location), 1, bytes)
    this.#holdParts(location, parts ?? this.parts.get(location))
  }

  /** An entry's message lies elsewhere from now on, if it is still there. */
  relocate(
    id: OwnerId,
    priority: number,
    sequence: number,
    location: Location,
    bytes: number,
    parts?: readonly Part[],
  ): void {
    const directory = this.owners.get(id)?.directories[priority]
    const page = directory?.pageOf(sequence)
    const index = page?.find(sequence) ?? -1
    if (page === undefined || index < 0) return
    this.#dropPartsAt(page.entry(index).location)
    page.relocate(index, location, bytes, this.#segments)
    this.#holdParts(location, parts)
  }

  /** Entries from one sequence to another leave. */
  ack(id: OwnerId, priority: number, from: number, to: number): void {
    const directory = this.owners.get(id)?.directories[priority]
    if (directory !== undefined) this.#clear(directory, from, to)
  }

  redeliver(id: OwnerId, priority: number, sequence: number, deliveryCount: number, notBefore: number): void {
    const page = this.owners.get(id)?.directories[priority]?.pageOf(sequence)
    const index = page?.find(sequence) ?? -1
    if (page === undefined || index < 0) return
    page.history ??= new Map()
    page.history.set(index, { deliveryCount, notBefore })
  }

  horizon(id: OwnerId, sequence: number): void {
    const owner = this.owners.get(id)
    if (owner !== undefined) owner.horizon = Math.max(owner.horizon, sequence)
  }

  setState(key: string, value: Uint8Array | undefined): void {
    if (value === undefined) this.states.delete(key)
    else this.states.set(key, value)
  }

  /** Counts anew how much of each segment is alive, after the owners have been put back. */
  recount(): void {
    for (const owner of this.owners.values()) {
      for (const directory of owner.directories) {
        for (const page of directory?.pages ?? []) {
          for (const { segment, entries, bytes } of page.shares) this.#segments.add(segment, entries, bytes)
          if (this.parts.size > 0) this.#recountParts(page)
        }
      }
    }
  }

  /** Forgets the parts of bodies whose segment is gone, and so nobody's any more. */
  pruneParts(): void {
    for (const location of this.parts.keys()) {
      if (this.#segments.segment(segmentOf(location)) === undefined) this.parts.delete(location)
    }
  }

  /** The entries whose message, or part of it, lies in a segment. What changes meanwhile may be missed or met twice. */
  *entriesIn(segment: number): Generator<PlacedEntry> {
    for (const owner of [...this.owners.values()]) {
      for (const [priority, directory] of owner.directories.entries()) {
        for (const page of [...(directory?.pages ?? [])]) {
          if (this.parts.size === 0 && !page.shares.some((share) => share.segment === segment)) continue
          for (let index = 0; index < page.length; index += 1) {
            if (page.isDead(index)) continue
            const entry = page.entry(index)
            if (this.#liesIn(entry.location, segment)) yield { owner: owner.id, priority, entry }
          }
        }
      }
    }
  }

  #liesIn(location: Location, segment: number): boolean {
    if (segmentOf(location) === segment) return true
    return this.parts.get(location)?.some((part) => segmentOf(part.location) === segment) ?? false
  }

  records(): OwnerRecord[] {
    return [...this.owners.values()].map((owner) => ({
      id: owner.id,
      spec: owner.spec,
      counts: owner.directories.map((directory) => directory?.liveCount ?? 0),
      bytes: bytesOf(owner),
      lastSequence: owner.lastSequence,
    }))
  }

  #holdParts(location: Location, parts: readonly Part[] | undefined): void {
    if (parts === undefined) return
    this.parts.set(location, parts)
    for (const part of parts) this.#segments.add(segmentOf(part.location), 1, part.length)
  }

  #recountParts(page: IndexPage): void {
    for (let index = 0; index < page.length; index += 1) {
      if (page.isDead(index)) continue
      for (const part of this.parts.get(page.entry(index).location) ?? []) {
        this.#segments.add(segmentOf(part.location), 1, part.length)
      }
    }
  }

  #clear(directory: Directory, from: number, to: number): void {
    if (this.parts.size > 0) {
      for (const { location } of directory.entriesOf(from, to)) this.#dropPartsAt(location)
    }
    directory.kill(from, to, this.#segments)
  }

  /** Entries that share a body share its parts too: each keeps them alive. */
  #dropPartsAt(location: Location): void {
    for (const part of this.parts.get(location) ?? []) this.#segments.add(segmentOf(part.location), -1, -part.length)
  }
}

function bytesOf(owner: OwnerIndex): number {
  let bytes = 0
  for (const directory of owner.directories) {
    for (const page of directory?.pages ?? []) for (const share of page.shares) bytes += share.bytes
  }
  return bytes
}
