import { RecordType, type RecordView } from './frame.ts'
import type { IndexPage } from './index-page.ts'
import { putHasParts } from './journal-frame.ts'
import { type Damage, type FoundFrame, JournalScan, readFrame } from './journal-scan.ts'
import { locationOf, segmentOf } from './location.ts'
import { PageColumns } from './page-columns.ts'
import type { Segments } from './segments.ts'

interface Found {
  readonly location: number
  readonly bytes: number
  readonly hasParts: boolean
}

/** Makes pages of the index anew from the journal's frames, when what is on disk of them is damaged. */
export class IndexRepair {
  readonly #segments: Segments
  readonly #frameBytesMax: number
  readonly #damaged: (damage: Damage) => void

  constructor(segments: Segments, frameBytesMax: number, damaged: (damage: Damage) => void) {
    this.#segments = segments
    this.#frameBytesMax = frameBytesMax
    this.#damaged = damaged
  }

  /**
   * The columns of a page, made from the frames that its entries lie in. Entries that are not found lie nowhere: whoever reads
   * them is told. If it cannot be told any more which have left, none has, and all count as seen.
   */
  async columnsOf(page: IndexPage): Promise<PageColumns> {
    const { owner } = page.home
    const found = await this.#find(page)
    const sequences = [...found.keys()].sort((left, right) => left - right)
    const order = page.isDense
      ? Array.from({ length: page.length }, (_, index) => page.firstSequence + index)
      : this.#align(page, sequences, found)
    const columns = new PageColumns(Math.max(1, order?.length ?? sequences.length))
    for (const [index, sequence] of (order ?? sequences).entries()) {
      const { location, bytes, hasParts } = found.get(sequence) ?? { location: 0, bytes: 0, hasParts: false }
      columns.set(index, location, bytes, hasParts)
      columns.setOffset(index, sequence - page.firstSequence)
      // Which of them were delivered in vain is not known any more.
      columns.setHistory(index, 0, 0)
    }
    if (order === undefined) page.home.recount(page, columns, sequences.length)
    const what = `${page.liveCount} entries of owner ${owner} from sequence ${page.firstSequence} on`
    const how = order === undefined ? ', of which some may have left before' : ''
    const reason = `a page of the index is damaged: ${what}${how}, have been found again in the journal`
    this.#damaged({ segment: page.spans[0]?.segment ?? 0, offset: 0, bytes: 0, reason })
    return columns
  }

  async #find(page: IndexPage): Promise<Map<number, Found>> {
    const first = Math.min(...page.spans.map(({ segment }) => segment))
    const found = new Map<number, Found>()
    for (const segment of [...this.#segments.all]) {
      const isIn = page.isScattered ? segment.id >= first : page.spans.some((span) => span.segment === segment.id)
      if (!isIn) continue
      const scan = new JournalScan(1, this.#frameBytesMax, (frame) =>
        readFrame(frame, (record) => note(page, frame, record, found)),
      )
      await scan.read(segment, { from: 0, next: undefined, pause: () => Promise.resolve() })
    }
    return found
  }

  /** The sequences by index, of a page in which they have gaps; undefined if that cannot be told. */
  #align(page: IndexPage, sequences: readonly number[], found: ReadonlyMap<number, Found>): number[] | undefined {
    if (sequences.length === page.length) return [...sequences]
    if (page.isScattered) return undefined
    const order: number[] = []
    for (const [at, { segment, start }] of page.spans.entries()) {
      const count = (page.spans[at + 1]?.start ?? page.length) - start
      const there = sequences.filter((sequence) => segmentOf(found.get(sequence)?.location ?? 0) === segment)
      if (there.length === count) order.push(...there)
      else if (this.#segments.segment(segment) === undefined) {
        // All of these have left: any sequences in between will do.
        const last = order.at(-1) ?? page.firstSequence - 1
        for (let index = 1; index <= count; index += 1) order.push(last + index)
      } else return undefined
    }
    return order
  }
}

/** Remembers where an entry of the page is, if the record says that. */
function note(page: IndexPage, { segment, offset }: FoundFrame, record: RecordView, found: Map<number, Found>): void {
  const { home, firstSequence, lastSequence } = page
  const { sequence, bytes, at, end } = record
  if (record.owner !== home.owner || record.priority !== home.priority) return
  if (sequence < firstSequence || sequence > lastSequence) return
  const hasParts = (record.flags & putHasParts) !== 0
  if (record.type === RecordType.put || record.type === RecordType.rewrite) {
    found.set(sequence, { location: locationOf(segment.id, offset + at), bytes: end - at, hasParts })
  } else if (record.type === RecordType.reference) {
    found.set(sequence, { location: bytes.readDoubleLE(at), bytes: bytes.readUInt32LE(at + 8), hasParts })
  }
}
