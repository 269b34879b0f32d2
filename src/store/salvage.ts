import { Address } from '../address.ts'
import type { IndexEntry } from './index-page.ts'
import type { JournalIndex } from './journal-index.ts'
import type { JournalReader } from './journal-reader.ts'
import type { Damage } from './journal-scan.ts'
import { segmentOf } from './location.ts'
import type { OwnerIndex } from './owner-index.ts'
import type { Segments } from './segments.ts'
import type { OwnerSpec } from './store.ts'

const recoveredPrefix = 'RECOVERED.'

/**
 * Makes the best of a journal whose newest checkpoint is lost: an older one may know of entries whose segment has been given up
 * since, and without any the definitions of owners may be gone. Returns what it met, for the report.
 */
export async function salvage(index: JournalIndex, segments: Segments, reader: JournalReader): Promise<Damage[]> {
  const damages = await dropLost(index, segments)
  for (const id of [...index.rebuilt]) {
    const owner = index.owners.get(id)
    if (owner === undefined) index.rebuilt.delete(id)
    else if (owner.count > 0) damages.push(await nameOwner(owner, index, reader))
    else {
      index.owners.delete(id)
      index.rebuilt.delete(id)
    }
  }
  return damages
}

/** Takes out the entries that lie, as a whole or in part, in segments that are not there: those had left before. */
async function dropLost(index: JournalIndex, segments: Segments): Promise<Damage[]> {
  const lost = new Map<number, { entries: number; bytes: number }>()
  const isGone = (segment: number): boolean => segments.segment(segment) === undefined
  for (const { id, directories } of index.owners.values()) {
    for (const directory of directories) {
      for (const page of [...(directory?.pages ?? [])]) {
        if (page.partCount === 0 && !page.liesIn(isGone)) continue
        await index.cache.load(page)
        for (const entry of page.entries()) {
          const parts = index.parts.get(entry.location) ?? []
          const place = [entry.location, ...parts.map(({ location }) => location)].map(segmentOf).find(isGone)
          if (place === undefined) continue
          const sum = lost.get(place) ?? { entries: 0, bytes: 0 }
          lost.set(place, { entries: sum.entries + 1, bytes: sum.bytes + entry.bytes })
          index.ack(id, page.home.priority, entry.sequence, entry.sequence)
        }
      }
    }
  }
  return [...lost].map(([segment, { entries, bytes }]) => ({
    segment,
    offset: 0,
    bytes,
    reason: `the segment is gone, and ${entries} entries with it`,
  }))
}

/** Makes a queue of an owner whose definition is lost, after the address of its first message. */
async function nameOwner(owner: OwnerIndex, index: JournalIndex, reader: JournalReader): Promise<Damage> {
  const [first] = await firstEntries(owner)
  const location = first?.location ?? 0
  const address = await addressOf(first, reader)
  const taken = new Set(
    [...index.owners.values()].filter(({ id, spec }) => id !== owner.id && spec.kind === 'queue').map(nameOf),
  )
  const name = address?.name ?? `owner-${owner.id}`
  const names = [`${recoveredPrefix}${name}`, `${recoveredPrefix}${name}.${owner.id}`]
  if (address?.kind === 'queue') names.unshift(name)
  owner.spec = specOf(names.find((one) => !taken.has(one)) ?? `${recoveredPrefix}owner-${owner.id}`)
  return {
    segment: segmentOf(location),
    offset: 0,
    bytes: 0,
    reason: `the definition of owner ${owner.id} is lost: its ${owner.count} messages are in the queue ${owner.spec.name}`,
  }
}

function nameOf({ spec }: OwnerIndex): string {
  return spec.name
}

async function firstEntries(owner: OwnerIndex): Promise<IndexEntry[]> {
  for (const directory of owner.directories) {
    const found = (await directory?.collect(0, 1)) ?? []
    if (found.length > 0) return found
  }
  return []
}

async function addressOf(entry: IndexEntry | undefined, reader: JournalReader): Promise<Address | undefined> {
  if (entry === undefined) return undefined
  const { entries } = await reader.read([entry], 0)
  const [stored] = entries
  const address = stored?.message.address
  return address instanceof Address ? address : undefined
}

function specOf(name: string): OwnerSpec {
  return { kind: 'queue', name, settings: {} }
}
