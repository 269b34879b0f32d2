/**
 * Messages kept in memory without an object each, for backlogs that would otherwise keep the garbage collector busy. Each page is
 * one buffer of entries; little endian:
 *
 *      0  f64  sequence
 *      8  f64  number within its source
 *     16  f64  timestamp
 *     24  f64  expires at
 *     32  u32  length of the content
 *     36  u32  length of the header block
 *     40  u16  which of the page's envelopes
 *     42  u8   priority
 *     43  u8   flags: 1 durable, 2 retain, 4 has a group, annotations or additions, which the page keeps beside, 8 the store has it too,
 *              16 it has been taken out, 32 a consumer may have seen it
 *     44       content
 */
import type { Address } from '../address.ts'
import { type Annotations, type ContentFormat, Message, type MessageSource } from '../message.ts'

const entryHeadBytes = 44
const pageBytes = 256 * 1024
const envelopesMax = 0xffff
const flagDurable = 1
const flagRetain = 2
const flagExtras = 4
const flagStored = 8
const flagGone = 16
const flagRedelivered = 32
/** A shorter content is copied out of its page, so that one message does not keep all of it. */
const viewBytesMin = 16 * 1024

/** What most messages of a page have in common. */
interface Envelope {
  readonly source: MessageSource
  readonly address: Address
  readonly format: ContentFormat
}

interface Extras {
  readonly groupId: string | undefined
  readonly annotations: Annotations | undefined
  readonly additions: Uint8Array | undefined
}

class Page {
  readonly buffer: Buffer
  readonly envelopes: Envelope[]
  extras: Map<number, Extras> | undefined
  start: number
  end: number
  lastSequence: number
  /** None of its messages expires before this time. */
  expiryFrom: number

  constructor(bytes: number) {
    // Shared memory, although nobody shares it: V8 starts a full collection for every 64 MiB of the other kind.
    this.buffer = Buffer.from(new SharedArrayBuffer(bytes))
    this.envelopes = []
    this.extras = undefined
    this.start = 0
    this.end = 0
    this.lastSequence = 0
    this.expiryFrom = Number.POSITIVE_INFINITY
  }
}

/** A message with its sequence. */
export interface PagedMessage {
  readonly sequence: number
  readonly message: Message
  /** True if the store holds it as well. */
  readonly isStored: boolean
  /** True if some consumer may have seen it. */
  readonly redelivered: boolean
}

/** First in, first out. The content of a message that comes out is a view of its page. */
export class MemoryPages {
  readonly #pages: Page[]
  #count: number

  constructor() {
    this.#pages = []
    this.#count = 0
  }

  get count(): number {
    return this.#count
  }

  push(message: Message, sequence: number, isStored: boolean, redelivered: boolean): void {
    const { content, groupId, annotations, additions } = message
    const bytes = entryHeadBytes + content.length
    let page = this.#pages.at(-1)
    if (page === undefined || page.buffer.length - page.end < bytes || page.envelopes.length === envelopesMax) {
      page = new Page(Math.max(pageBytes, bytes))
      this.#pages.push(page)
    }
    const { buffer, end } = page
    const hasExtras = groupId !== undefined || annotations !== undefined || additions !== undefined
    buffer.writeDoubleLE(sequence, end)
    buffer.writeDoubleLE(message.number, end + 8)
    buffer.writeDoubleLE(message.timestamp, end + 16)
    buffer.writeDoubleLE(message.expiresAt, end + 24)
    buffer.writeUInt32LE(content.length, end + 32)
    buffer.writeUInt32LE(message.bodyOffset, end + 36)
    buffer.writeUInt16LE(envelopeIndex(page, message), end + 40)
    buffer[end + 42] = message.priority
    buffer[end + 43] =
      (message.durable ? flagDurable : 0) |
      (message.retain ? flagRetain : 0) |
      (hasExtras ? flagExtras : 0) |
      (isStored ? flagStored : 0) |
      (redelivered ? flagRedelivered : 0)
    buffer.set(content, end + entryHeadBytes)
    if (hasExtras) {
      page.extras ??= new Map()
      page.extras.set(sequence, { groupId, annotations, additions })
    }
    page.end = end + bytes
    page.lastSequence = sequence
    if (message.expiresAt > 0 && message.expiresAt < page.expiryFrom) page.expiryFrom = message.expiresAt
    this.#count += 1
  }

  shift(): PagedMessage | undefined {
    for (let page = this.#pages[0]; page !== undefined; page = this.#pages[0]) {
      while (page.start < page.end) {
        const { start } = page
        page.start = nextEntry(page, start)
        if (isGone(page, start)) continue
        this.#count -= 1
        return read(page, start)
      }
      this.#pages.shift()
    }
    return undefined
  }

  /** Takes out what has expired, but for the sequences that have `begun`. */
  takeExpired(now: number, begun: ReadonlySet<number> | undefined): PagedMessage[] {
    const expired: PagedMessage[] = []
    for (const page of this.#pages) {
      if (page.expiryFrom > now) continue
      page.expiryFrom = Number.POSITIVE_INFINITY
      for (let at = page.start; at < page.end; at = nextEntry(page, at)) {
        const expiresAt = page.buffer.readDoubleLE(at + 24)
        if (expiresAt === 0 || isGone(page, at)) continue
        if (expiresAt > now) {
          page.expiryFrom = Math.min(page.expiryFrom, expiresAt)
          continue
        }
        if (begun?.has(page.buffer.readDoubleLE(at)) === true) continue
        expired.push(read(page, at))
        page.buffer[at + 43] = (page.buffer[at + 43] as number) | flagGone
        this.#count -= 1
      }
    }
    return expired
  }

  has(sequence: number): boolean {
    return this.#find(sequence) !== undefined
  }

  /** Takes out the one with that sequence, if it is here. */
  take(sequence: number): void {
    const found = this.#find(sequence)
    if (found === undefined) return
    const { page, at } = found
    page.buffer[at + 43] = (page.buffer[at + 43] as number) | flagGone
    this.#count -= 1
  }

  #find(sequence: number): { readonly page: Page; readonly at: number } | undefined {
    const page = this.#pages.find(({ lastSequence }) => lastSequence >= sequence)
    if (page === undefined) return undefined
    for (let at = page.start; at < page.end; at = nextEntry(page, at)) {
      if (page.buffer.readDoubleLE(at) === sequence && !isGone(page, at)) return { page, at }
    }
    return undefined
  }

  /** None of the messages expires before this time. */
  get expiryFrom(): number {
    let from = Number.POSITIVE_INFINITY
    for (const page of this.#pages) from = Math.min(from, page.expiryFrom)
    return from
  }

  /** Up to `count` of those after a sequence, which stay where they are. */
  peek(after: number, count: number): PagedMessage[] {
    const found: PagedMessage[] = []
    for (const page of this.#pages) {
      if (page.lastSequence <= after) continue
      for (let at = page.start; at < page.end && found.length < count; at = nextEntry(page, at)) {
        if (page.buffer.readDoubleLE(at) > after && !isGone(page, at)) found.push(read(page, at))
      }
    }
    return found
  }
}

function nextEntry(page: Page, at: number): number {
  return at + entryHeadBytes + page.buffer.readUInt32LE(at + 32)
}

function isGone(page: Page, at: number): boolean {
  return ((page.buffer[at + 43] as number) & flagGone) !== 0
}

function read(page: Page, start: number): PagedMessage {
  const { buffer } = page
  const sequence = buffer.readDoubleLE(start)
  const contentStart = start + entryHeadBytes
  const view = buffer.subarray(contentStart, contentStart + buffer.readUInt32LE(start + 32))
  const flags = buffer[start + 43] as number
  const { source, address, format } = page.envelopes[buffer.readUInt16LE(start + 40)] as Envelope
  const extras = (flags & flagExtras) === 0 ? undefined : page.extras?.get(sequence)
  const message = new Message({
    address,
    format,
    content: view.length < viewBytesMin ? Buffer.from(view) : view,
    bodyOffset: buffer.readUInt32LE(start + 36),
    durable: (flags & flagDurable) !== 0,
    priority: buffer[start + 42] as number,
    expiresAt: buffer.readDoubleLE(start + 24),
    deliverAt: 0,
    timestamp: buffer.readDoubleLE(start + 16),
    groupId: extras?.groupId,
    retain: (flags & flagRetain) !== 0,
    source,
    number: buffer.readDoubleLE(start + 8),
    annotations: extras?.annotations,
    additions: extras?.additions,
  })
  return {
    sequence,
    message,
    isStored: (flags & flagStored) !== 0,
    redelivered: (flags & flagRedelivered) !== 0,
  }
}

/** Neighbours mostly share their envelope; others are looked for among the last few. */
function envelopeIndex(page: Page, message: Message): number {
  const { envelopes } = page
  const { source, address, format } = message
  for (let index = envelopes.length - 1; index >= Math.max(0, envelopes.length - 16); index -= 1) {
    const envelope = envelopes[index] as Envelope
    if (envelope.source === source && envelope.address === address && envelope.format === format) return index
  }
  envelopes.push({ source, address, format })
  return envelopes.length - 1
}
