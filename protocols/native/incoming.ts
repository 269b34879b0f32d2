import { Cursor } from './cursor.ts'
import { Malformed } from './frame.ts'

interface Begun<Head> {
  readonly head: Head
  readonly parts: Uint8Array[]
  bytes: number
}

/** Messages that come in parts, one at a time on each link, all together no larger than one message may be. */
export class Incoming<Head = { readonly seq: number; readonly transaction: number }> {
  readonly #bytesMax: number
  readonly #begun: Map<number, Begun<Head>>
  #bytes: number

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#begun = new Map()
    this.#bytes = 0
  }

  begin(link: number, head: Head, cursor: Cursor): void {
    this.expectNone(link)
    const begun: Begun<Head> = { head, parts: [], bytes: 0 }
    this.#begun.set(link, begun)
    this.#take(begun, cursor)
  }

  /** A link must not begin a message, whole or in parts, before the last part of the one before. */
  expectNone(link: number): void {
    if (this.#begun.has(link)) throw new Malformed(`link ${link} begins a message before the last one is complete`)
  }

  /** Adds the rest of the cursor. Returns the whole message if it was the last part. */
  add(link: number, cursor: Cursor, isMore: boolean): { readonly head: Head; readonly section: Cursor } | undefined {
    const begun = this.#begun.get(link)
    if (begun === undefined) throw new Malformed(`link ${link} has begun no message`)
    this.#take(begun, cursor)
    if (isMore) return undefined
    this.forget(link)
    const section = new Uint8Array(begun.bytes)
    let at = 0
    for (const part of begun.parts) {
      section.set(part, at)
      at += part.length
    }
    return { head: begun.head, section: new Cursor(section) }
  }

  /** True if the link has begun a message that is not complete. */
  has(link: number): boolean {
    return this.#begun.has(link)
  }

  /** Drops what has come on a link. */
  forget(link: number): void {
    this.#bytes -= this.#begun.get(link)?.bytes ?? 0
    this.#begun.delete(link)
  }

  #take(begun: Begun<Head>, cursor: Cursor): void {
    const bytes = cursor.left
    this.#bytes += bytes
    begun.bytes += bytes
    if (this.#bytes > this.#bytesMax) throw new Malformed(`messages in parts have more than ${this.#bytesMax} bytes`)
    begun.parts.push(cursor.bytes.slice(cursor.at, cursor.end))
  }
}
