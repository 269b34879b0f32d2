import { type Address, Message, type MessageSource } from '../../src/core.ts'
import { amqpFormat, opaqueFormat, opaqueHeadBytes } from './content.ts'
import { Cursor } from './frame.ts'
import { Header, Sections } from './sections.ts'

const delayName = 'x-opt-delivery-delay'
const timeName = 'x-opt-delivery-time'
const retainName = 'x-opt-retain'
/** Indices of fields of the properties section (part 3, section 3.2.4). */
const toIndex = 2
const expiryIndex = 8
const groupIndex = 10

/** What the core is told of a message beside its bytes. */
class Routing {
  /** Undefined: nobody asked, or there is none. */
  to: string | undefined = undefined
  absoluteExpiry = Number.NaN
  groupId: string | undefined = undefined
  deliverAt = 0
  retain = false
}

/** Makes messages of what senders transfer. One serves all links of a connection, one message at a time. */
export class MessageReader {
  readonly #sections = new Sections()
  readonly #header = new Header()
  readonly #cursor = new Cursor(Buffer.alloc(0))
  readonly #routing = new Routing()

  /** Looks at a message of format 0 between `start` and `end`. Returns what is wrong with it, if anything. */
  read(bytes: Buffer, start: number, end: number, now: number, wantsTo: boolean): string | undefined {
    const sections = this.#sections
    const fault = sections.scan(bytes, start, end)
    if (fault !== undefined) return fault
    if (!this.#header.read(bytes, sections.header, end)) return 'a header section that cannot be read'
    const routing = this.#routing
    routing.to = undefined
    routing.absoluteExpiry = Number.NaN
    routing.groupId = undefined
    routing.deliverAt = 0
    routing.retain = false
    if (sections.messageAnnotations >= 0 && !this.#readAnnotations(now))
      return 'message annotations that cannot be read'
    if (sections.properties >= 0 && !this.#readProperties(wantsTo)) return 'a properties section that cannot be read'
    return undefined
  }

  /** The address the message names itself, if it was asked for. */
  get to(): string | undefined {
    return this.#routing.to
  }

  /** The message that was read. `copies`: the bytes will be written over and are copied; else the message keeps them. */
  message(address: Address, source: MessageSource, now: number, copies: boolean): Message {
    const { bytes, keptStart, end, bodyStart } = this.#sections
    const { durable, priority, ttlMs } = this.#header
    const routing = this.#routing
    // What is left out of the message would be kept with it, and not be counted.
    const isKept = !copies && (end - keptStart) * 2 > bytes.length
    return new Message({
      address,
      format: amqpFormat,
      content: isKept ? bytes.subarray(keptStart, end) : copyOf(bytes, keptStart, end),
      bodyOffset: bodyStart - keptStart,
      durable,
      priority,
      expiresAt: ttlMs >= 0 ? now + ttlMs : numberOr(routing.absoluteExpiry, 0),
      deliverAt: routing.deliverAt,
      timestamp: now,
      groupId: routing.groupId,
      retain: routing.retain,
      source,
      number: source.next(),
      annotations: undefined,
    })
  }

  #readAnnotations(now: number): boolean {
    const cursor = this.#cursor
    const { bytes, messageAnnotations, end } = this.#sections
    cursor.set(bytes, messageAnnotations, end)
    const count = cursor.map()
    for (let index = 0; index < count; index += 2) {
      const keyAt = cursor.at
      cursor.check()
      if (cursor.isBroken) return false
      const keyBytes = cursor.at - keyAt - 2
      // Only keys of these lengths are of interest.
      const isWanted = keyBytes === delayName.length || keyBytes === timeName.length || keyBytes === retainName.length
      const key = isWanted ? bytes.toString('latin1', keyAt + 2, cursor.at) : ''
      if (key === delayName) this.#routing.deliverAt = delayed(now, this.#number())
      else if (key === timeName) this.#routing.deliverAt = delayed(0, this.#number())
      else if (key === retainName) this.#routing.retain = cursor.boolean() === true
      else cursor.check()
    }
    return !cursor.isBroken
  }

  #readProperties(wantsTo: boolean): boolean {
    const cursor = this.#cursor
    const { bytes, properties, end } = this.#sections
    cursor.set(bytes, properties, end)
    const count = cursor.list()
    if (count <= expiryIndex && !wantsTo) return !cursor.isBroken
    for (let index = 0; index < count && index <= groupIndex; index += 1) {
      if (index === toIndex) this.#routing.to = cursor.string()
      else if (index === expiryIndex) this.#routing.absoluteExpiry = cursor.timestamp()
      else if (index === groupIndex) this.#routing.groupId = cursor.string()
      else cursor.skip()
    }
    return !cursor.isBroken
  }

  /** A number of any type that clients write times in; NaN for anything else. */
  #number(): number {
    return this.#cursor.number()
  }
}

/** The message of another format than 0; the payload is copied. */
export function opaqueMessage(
  format: number,
  payload: Uint8Array,
  address: Address,
  source: MessageSource,
  now: number,
): Message {
  const content = Buffer.allocUnsafe(opaqueHeadBytes + payload.length)
  content.writeUInt32BE(format, 0)
  content.set(payload, opaqueHeadBytes)
  return new Message({
    address,
    format: opaqueFormat,
    content,
    bodyOffset: opaqueHeadBytes,
    // Its header, if it has one, cannot be read: rather kept in vain than lost.
    durable: true,
    priority: 4,
    expiresAt: 0,
    deliverAt: 0,
    timestamp: now,
    groupId: undefined,
    retain: false,
    source,
    number: source.next(),
    annotations: undefined,
  })
}

function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start)
  bytes.copy(copy, 0, start, end)
  return copy
}

function delayed(from: number, ms: number): number {
  return ms > 0 ? from + ms : 0
}

function numberOr(value: number, fallback: number): number {
  return value > 0 ? value : fallback
}
