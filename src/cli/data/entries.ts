import type { JournalStore } from '../../store/journal-store.ts'
import type { OwnerRecord, StoredEntry } from '../../store/store.ts'

const priorities = 10
/** Read at a time, so that neither long nor many messages fill the memory. */
const entriesMax = 256

/**
 * Everything an owner holds, by priority and in the order of the sequences. `onUnreadable` is told of what is not as it was
 * written, which is left out.
 */
export async function* entriesOf(
  store: JournalStore,
  owner: OwnerRecord,
  onUnreadable: (sequence: number) => void,
): AsyncGenerator<StoredEntry> {
  for (let priority = 0; priority < priorities; priority += 1) {
    if ((owner.counts[priority] ?? 0) === 0) continue
    for (let after = 0; ; ) {
      const entries = await store.read(owner.id, priority, after, entriesMax, onUnreadable)
      yield* entries
      const last = entries.at(-1)
      if (last === undefined) break
      after = last.sequence
    }
  }
}
