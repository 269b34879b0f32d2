import type { JournalStore } from '../../store/journal-store.ts'
import type { OwnerId, OwnerRecord } from '../../store/store.ts'
import { CommandError } from '../failure.ts'
import { type DataOptions, type OpenStore, withStore } from './folder.ts'
import { mebibytes, messages, nameOf, number, print, time } from './names.ts'

/** What one owner has in a segment. */
interface Keeper {
  readonly owner: string
  count: number
  bytes: number
  readonly oldest: { readonly sequence: number; readonly priority: number; id: string; takenAt: string }
}

/** Says who keeps a segment from being used again. */
export async function why(segment: string, options: DataOptions): Promise<void> {
  const id = idOf(segment)
  await withStore(options, 'why', false, async (open) => {
    const found = [...open.store.segments].find((one) => one.id === id)
    if (found === undefined)
      throw new CommandError(`there is no segment ${segment} in ${open.folder}; ${range(open.store)}`)
    const keepers = await keepersOf(open, id)
    if (options.json === true) {
      print(JSON.stringify({ segment: id, liveBytes: found.liveBytes, usedBytes: found.usedBytes, keepers }))
      return
    }
    const held = `${mebibytes(found.liveBytes)} of ${mebibytes(found.usedBytes)} written are alive`
    print(`seg-${id}: ${held}`)
    for (const { owner, count, bytes, oldest } of keepers) {
      print(`  ${owner}: ${messages(count)}, ${number(bytes)} bytes`)
      print(
        `    oldest: sequence ${oldest.sequence}, priority ${oldest.priority}, id ${oldest.id}, taken in ${oldest.takenAt}`,
      )
    }
    if (keepers.length === 0) print('  nothing keeps it: it is used again or deleted after the next checkpoint')
  })
}

function idOf(text: string): number {
  const id = Number(/^(?:seg-)?(\d+)$/.exec(text)?.[1] ?? Number.NaN)
  if (Number.isNaN(id)) throw new CommandError(`"${text}" is no segment; it must look like seg-12 or 12`)
  return id
}

function range(store: JournalStore): string {
  const ids = [...store.segments].map(({ id }) => id)
  return ids.length === 0 ? 'there is none' : `there are ${ids.length} from ${Math.min(...ids)} to ${Math.max(...ids)}`
}

async function keepersOf({ store, owners }: OpenStore, segment: number): Promise<Keeper[]> {
  const names = new Map<OwnerId, OwnerRecord>(owners.map((owner) => [owner.id, owner]))
  const keepers = new Map<OwnerId, Keeper>()
  for await (const { owner, priority, entry } of store.entriesIn(segment)) {
    const record = names.get(owner)
    const keeper = keepers.get(owner) ?? {
      owner: record === undefined ? `owner ${owner}` : nameOf(record.spec),
      count: 0,
      bytes: 0,
      oldest: { sequence: entry.sequence, priority, id: 'unknown', takenAt: 'unknown' },
    }
    keeper.count += 1
    keeper.bytes += entry.bytes
    if (entry.sequence <= keeper.oldest.sequence) {
      const oldest = { sequence: entry.sequence, priority, id: 'unknown', takenAt: 'unknown' }
      keepers.set(owner, { ...keeper, oldest })
    }
  }
  for (const [owner, { oldest }] of keepers) {
    const [stored] = await store.read(owner, oldest.priority, oldest.sequence - 1, 1)
    if (stored === undefined) continue
    oldest.id = stored.message.id
    oldest.takenAt = time(stored.message.timestamp)
  }
  return [...keepers.values()].sort((left, right) => right.bytes - left.bytes)
}
