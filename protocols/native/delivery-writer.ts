import type { Address, Delivery, Message, MessageSource } from '../../src/core.ts'
import { NativeFormat, sectionOf } from './content.ts'
import { headBytesMax, writeInParts } from './encoder.ts'
import { FrameType, Info } from './frame.ts'
import { writeCount, writeValue } from './values.ts'
import {
  type ByteSink,
  beginFrame,
  endFrame,
  GrowingBytes,
  putVarint,
  writeByte,
  writeString,
  writeVarint,
} from './writer.ts'

/** Sections at least this long are sent from where they are. */
const copyBytesMax = 8 * 1024

/** Sections up to this long are copied byte by byte, which is faster than a call. */
const shortBytesMax = 96

/** What a link was told last of the messages it gets. */
interface LinkFacts {
  source: MessageSource | undefined
  address: Address | undefined
}

/** Encodes deliveries. What is the same from one delivery of a link to the next is written once. */
export class DeliveryWriter {
  frameBytesMax: number
  readonly #links: Map<number, LinkFacts>
  readonly #head: GrowingBytes
  /** The link of the last delivery. */
  #link: number
  #facts: LinkFacts
  /** The last message of another protocol, and what it became: with many subscribers the next is the same. */
  #encoded: Message | undefined
  #section: Uint8Array

  constructor(frameBytesMax: number) {
    this.frameBytesMax = frameBytesMax
    this.#links = new Map()
    this.#head = new GrowingBytes()
    this.#link = 0
    this.#facts = { source: undefined, address: undefined }
    this.#encoded = undefined
    this.#section = new Uint8Array(0)
  }

  write(sink: ByteSink, link: number, number: number, delivery: Delivery): void {
    const { message } = delivery
    const section = this.sectionOf(message)
    const facts = this.#factsOf(link)
    const info = infoOf(delivery, facts)
    const size = section.length
    if (info > (Info.redelivered | Info.retained) || size >= copyBytesMax || headBytesMax + size > this.frameBytesMax) {
      this.#writeLong(sink, { link, number, info, facts }, delivery, section)
      return
    }
    sink.reserve(headBytesMax + size)
    const start = sink.position
    beginFrame(sink, FrameType.deliver, 0)
    const { buffer } = sink
    let at = putVarint(buffer, sink.position, link)
    at = putVarint(buffer, at, number)
    buffer[at] = info
    at = putVarint(buffer, at + 1, message.number)
    if (size > shortBytesMax) buffer.set(section, at)
    else for (let index = 0; index < size; index += 1) buffer[at + index] = section[index] as number
    sink.position = at + size
    endFrame(sink, start)
  }

  /** The section that a client of this protocol gets. */
  sectionOf(message: Message): Uint8Array {
    if (message.format instanceof NativeFormat) return message.content
    if (message !== this.#encoded) {
      this.#encoded = message
      this.#section = sectionOf(message)
    }
    return this.#section
  }

  /** The link has ended. */
  forget(link: number): void {
    this.#links.delete(link)
    if (this.#link === link) this.#link = 0
  }

  #factsOf(link: number): LinkFacts {
    if (link === this.#link) return this.#facts
    let facts = this.#links.get(link)
    if (facts === undefined) {
      facts = { source: undefined, address: undefined }
      this.#links.set(link, facts)
    }
    this.#link = link
    this.#facts = facts
    return facts
  }

  #writeLong(
    sink: ByteSink,
    of: { readonly link: number; readonly number: number; readonly info: number; readonly facts: LinkFacts },
    delivery: Delivery,
    section: Uint8Array,
  ): void {
    const { link, number, info, facts } = of
    const { message } = delivery
    const head = this.#head
    head.clear()
    writeVarint(head, link)
    writeVarint(head, number)
    writeByte(head, info)
    writeVarint(head, message.number)
    if (info & Info.count) writeVarint(head, delivery.deliveryCount)
    if (info & Info.origin) {
      facts.source = message.source
      writeString(head, message.source.idPrefix)
    }
    if (info & Info.address) {
      facts.address = message.address
      writeString(head, message.address.toString())
    }
    if (info & Info.annotations) writeAnnotations(head, message)
    writeInParts(sink, { type: FrameType.deliver, flags: 0, link, head: head.bytes }, section, this.frameBytesMax)
  }
}

function infoOf(delivery: Delivery, facts: LinkFacts): number {
  const { message } = delivery
  return (
    (delivery.redelivered ? Info.redelivered : 0) |
    (delivery.isRetained ? Info.retained : 0) |
    (delivery.deliveryCount > 0 ? Info.count : 0) |
    (message.source !== facts.source ? Info.origin : 0) |
    (isSame(message.address, facts.address) ? 0 : Info.address) |
    (message.annotations !== undefined ? Info.annotations : 0)
  )
}

function isSame(left: Address, right: Address | undefined): boolean {
  return left === right || (right !== undefined && left.equals(right))
}

function writeAnnotations(head: GrowingBytes, message: Message): void {
  const annotations = Object.entries(message.annotations ?? {})
  writeCount(head, annotations.length)
  for (const [name, value] of annotations) {
    writeString(head, name)
    writeValue(head, value, 1)
  }
}
