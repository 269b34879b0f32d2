import type { Checkpoint } from './checkpoint.ts'
import type { IndexPage } from './index-page.ts'
import type { JournalIndex } from './journal-index.ts'
import { segmentOf } from './location.ts'
import { OwnerIndex } from './owner-index.ts'
import type { Segments } from './segments.ts'

/** Puts the state of a checkpoint back; of its pages only those whose bodies are in parts are read. */
export async function restoreCheckpoint(
  checkpoint: Checkpoint,
  index: JournalIndex,
  segments: Segments,
): Promise<void> {
  index.lastOwner = checkpoint.lastOwner
  for (const { id, usedBytes } of checkpoint.segments) {
    const segment = segments.segment(id)
    if (segment !== undefined) segment.usedBytes = usedBytes
  }
  for (const [location, parts] of checkpoint.parts) index.parts.set(location, parts)
  for (const [key, value] of checkpoint.states) index.states.set(key, value)
  const withParts: IndexPage[] = []
  for (const state of checkpoint.owners) {
    const owner = new OwnerIndex(state.id, state.spec, index, index.cache)
    owner.lastSequence = state.lastSequence
    owner.horizon = state.horizon
    owner.seenUpTo = state.seenUpTo
    index.owners.set(state.id, owner)
    for (const { priority, pages } of state.directories) {
      for (const one of pages) {
        const page = owner.restore(priority, one)
        for (const { segment, entries, bytes } of page.spans) segments.add(segment, entries, bytes)
        if (page.partCount > 0) withParts.push(page)
        if (page.deferred.length > 0) index.cache.want(page)
      }
    }
  }
  for (const page of withParts) {
    await index.cache.load(page)
    for (let at = 0; at < page.length; at += 1)
      if (page.columns?.hasParts(at) && !page.isDead(at)) holdParts(page, at, index, segments)
  }
  await index.cache.quiet()
}

function holdParts(page: IndexPage, at: number, index: JournalIndex, segments: Segments): void {
  for (const part of index.parts.get(page.entry(at).location) ?? []) {
    segments.add(segmentOf(part.location), 1, part.length)
  }
}
