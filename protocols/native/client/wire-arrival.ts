import { type Cursor, noBytes } from '../cursor.ts'
import { Info } from '../frame.ts'
import { readSection, type Section } from '../section.ts'
import { readEntries } from '../values.ts'
import type { Arrival } from './message.ts'
import { type Plain, toPlain } from './values.ts'

/** What a delivery of a link says that holds for those behind it. */
interface LinkFacts {
  readonly origin: string
  readonly address: string
}

const noFacts: LinkFacts = { origin: '', address: '' }
const noAnnotations: Readonly<Record<string, Plain>> = Object.freeze(Object.create(null))

/** A delivery that came over a wire; its section is read when it is asked for. */
export class WireArrival implements Arrival {
  readonly number: number
  readonly deliveryCount: number
  readonly annotations: Readonly<Record<string, Plain>>
  readonly reference = undefined
  readonly #info: number
  readonly #messageNumber: number
  readonly #facts: LinkFacts
  #bytes: Uint8Array
  #start: number
  #end: number

  /** Reads what a DELIVER says before its section: of the delivery, and of the link from here on. */
  constructor(cursor: Cursor, link: number, known: Map<number, LinkFacts>) {
    this.number = cursor.varint()
    const info = cursor.byte()
    this.#info = info
    this.#messageNumber = cursor.varint()
    this.deliveryCount = info & Info.count ? cursor.varint() : 0
    let facts = known.get(link) ?? noFacts
    if (info & (Info.origin | Info.address)) {
      const origin = info & Info.origin ? cursor.string() : facts.origin
      facts = { origin, address: info & Info.address ? cursor.string() : facts.address }
      known.set(link, facts)
    }
    this.#facts = facts
    this.annotations = info & Info.annotations ? annotationsOf(cursor) : noAnnotations
    this.#bytes = noBytes
    this.#start = 0
    this.#end = 0
  }

  /** The section is all that is left of the cursor. */
  place({ bytes, at, end }: Cursor): this {
    this.#bytes = bytes
    this.#start = at
    this.#end = end
    return this
  }

  get redelivered(): boolean {
    return (this.#info & Info.redelivered) !== 0
  }

  get isRetained(): boolean {
    return (this.#info & Info.retained) !== 0
  }

  get brokerId(): string {
    return this.#facts.origin + this.#messageNumber
  }

  get address(): string {
    return this.#facts.address
  }

  get size(): number {
    return this.#end - this.#start
  }

  section(): Section {
    return readSection(this.#bytes, this.#start, this.#end)
  }
}

function annotationsOf(cursor: Cursor): Readonly<Record<string, Plain>> {
  const annotations: Record<string, Plain> = Object.create(null)
  for (const [name, value] of readEntries(cursor)) annotations[name] = toPlain(value)
  return annotations
}
