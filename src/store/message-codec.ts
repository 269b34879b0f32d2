/**
 * A message as the store keeps it. Little endian.
 *
 *      0  u8   flags: 1 durable, 2 retain, 4 has a group, 8 has annotations
 *      1  u8   priority
 *      2  u16  reserved
 *      4  f64  expires at
 *     12  f64  deliver at
 *     20  f64  timestamp
 *     28  f64  number within its source
 *     36  u32  length of the header block
 *     40  u32  length of the envelope
 *     44       envelope: values (src/value-codec.ts) of format name, kind and name of the address, id prefix, client id, principal
 *              group: u32 length, text; if there is one
 *              annotations: u32 length, a map value; if there are any. What consumers have added is in it as bytes under an empty
 *              name, which brokers that know nothing of it pass over
 *              content
 */
import { Address, type AddressKind } from '../address.ts'
import { type ContentFormat, Message, MessageSource } from '../message.ts'
import { isTyped, type Value } from '../value.ts'
import { ValueReader, ValueWriter } from '../value-codec.ts'
import { Stencil } from './copy.ts'

const fixedBytes = 44
const flagDurable = 1
const flagRetain = 2
const flagGroup = 4
const flagAnnotations = 8
/** Of what consumers have added, among the annotations. */
const additionsName = ''

interface Envelope {
  readonly address: Address
  readonly format: ContentFormat
  readonly stencil: Stencil
}

/** Writes messages. Remembers what messages of one source have in common, which is most of what is not content. */
export class MessageEncoder {
  readonly #envelopes: WeakMap<MessageSource, Envelope>
  #lastSource: MessageSource | undefined
  #lastEnvelope: Envelope | undefined

  constructor() {
    this.#envelopes = new WeakMap()
    this.#lastSource = undefined
    this.#lastEnvelope = undefined
  }

  /** Bytes that {@link write} takes. */
  size(message: Message): number {
    let bytes = fixedBytes + this.#envelope(message).length + message.content.length
    if (message.groupId !== undefined) bytes += 4 + Buffer.byteLength(message.groupId)
    if (hasAnnotations(message)) bytes += 4 + annotationBytes(message).length
    return bytes
  }

  /** Writes the message at `at`, but for its content, into memory of which `view` is one. Returns where it ends. */
  write(message: Message, memory: Buffer, view: DataView, at: number): number {
    const envelope = this.#envelope(message)
    const { groupId } = message
    const isAnnotated = hasAnnotations(message)
    const flags =
      (message.durable ? flagDurable : 0) |
      (message.retain ? flagRetain : 0) |
      (groupId === undefined ? 0 : flagGroup) |
      (isAnnotated ? flagAnnotations : 0)
    view.setUint8(at, flags)
    view.setUint8(at + 1, message.priority)
    view.setUint16(at + 2, 0)
    view.setFloat64(at + 4, message.expiresAt, true)
    view.setFloat64(at + 12, message.deliverAt, true)
    view.setFloat64(at + 20, message.timestamp, true)
    view.setFloat64(at + 28, message.number, true)
    view.setUint32(at + 36, message.bodyOffset, true)
    view.setUint32(at + 40, envelope.length, true)
    let end = envelope.copyInto(view, at + fixedBytes)
    if (groupId !== undefined) {
      const bytes = memory.write(groupId, end + 4)
      view.setUint32(end, bytes, true)
      end += 4 + bytes
    }
    if (isAnnotated) {
      const bytes = annotationBytes(message)
      view.setUint32(end, bytes.length, true)
      memory.set(bytes, end + 4)
      end += 4 + bytes.length
    }
    return end
  }

  #envelope(message: Message): Stencil {
    const { source, address, format } = message
    let found = this.#lastSource === source ? this.#lastEnvelope : this.#envelopes.get(source)
    if (found === undefined || found.address !== address || found.format !== format) {
      found = { address, format, stencil: new Stencil(envelopeBytes(message)) }
      this.#envelopes.set(source, found)
    }
    this.#lastSource = source
    this.#lastEnvelope = found
    return found.stencil
  }
}

/** Reads messages back; those of one source share its object again. */
export class MessageDecoder {
  readonly #formats: (name: string) => ContentFormat | undefined
  /** The envelope of the last message, since neighbours in the log mostly share it. */
  #last: DecodedEnvelope | undefined

  constructor(formats: (name: string) => ContentFormat | undefined) {
    this.#formats = formats
    this.#last = undefined
  }

  /**
   * The message in `bytes`, of which `view` is one, from `at` to `end`; its content is a view of them, or `content` if that was
   * stored in parts. Throws an Error if they hold none, or one of a format that nobody knows any more.
   */
  read(bytes: Buffer, view: DataView, at: number, end: number, content?: Buffer): Message {
    const flags = view.getUint8(at)
    const envelopeEnd = at + fixedBytes + view.getUint32(at + 40, true)
    const envelope = this.#envelope(bytes, view, at + fixedBytes, envelopeEnd)
    let rest = envelopeEnd
    let groupId: string | undefined
    if ((flags & flagGroup) !== 0) {
      const length = view.getUint32(rest, true)
      groupId = bytes.toString('utf8', rest + 4, rest + 4 + length)
      rest += 4 + length
    }
    let annotated: Pick<Message, 'annotations' | 'additions'> | undefined
    if ((flags & flagAnnotations) !== 0) {
      const length = view.getUint32(rest, true)
      annotated = readAnnotations(bytes.subarray(rest + 4, rest + 4 + length))
      rest += 4 + length
    }
    return new Message({
      address: envelope.address,
      format: envelope.format,
      content: content ?? bytes.subarray(rest, end),
      bodyOffset: view.getUint32(at + 36, true),
      durable: (flags & flagDurable) !== 0,
      priority: view.getUint8(at + 1),
      expiresAt: view.getFloat64(at + 4, true),
      deliverAt: view.getFloat64(at + 12, true),
      timestamp: view.getFloat64(at + 20, true),
      groupId,
      retain: (flags & flagRetain) !== 0,
      source: envelope.source,
      number: view.getFloat64(at + 28, true),
      annotations: annotated?.annotations,
      additions: annotated?.additions,
    })
  }

  #envelope(bytes: Buffer, view: DataView, at: number, end: number): DecodedEnvelope {
    const last = this.#last
    if (last?.stencil.isAt(view, at, end)) return last
    const envelope = Buffer.from(bytes.subarray(at, end))
    const reader = new ValueReader(envelope)
    const [formatName, kind, name, idPrefix, clientId, principal] = Array.from({ length: 6 }, () => reader.read())
    const format = this.#formats(String(formatName))
    if (format === undefined) throw new Error(`a stored message has the unknown format "${String(formatName)}"`)
    const decoded: DecodedEnvelope = {
      stencil: new Stencil(envelope),
      address: Address.must(kind as AddressKind, String(name)),
      format,
      source: new MessageSource(
        String(idPrefix),
        typeof clientId === 'string' ? clientId : undefined,
        String(principal),
      ),
    }
    this.#last = decoded
    return decoded
  }
}

interface DecodedEnvelope {
  readonly stencil: Stencil
  readonly address: Address
  readonly format: ContentFormat
  readonly source: MessageSource
}

function envelopeBytes(message: Message): Uint8Array {
  const { address, format, source } = message
  const writer = new ValueWriter()
  writer.write(format.name)
  writer.write(address.kind)
  writer.write(address.name)
  writer.write(source.idPrefix)
  writer.write(source.clientId ?? null)
  writer.write(source.principal)
  return writer.bytes
}

function hasAnnotations({ annotations, additions }: Message): boolean {
  return annotations !== undefined || additions !== undefined
}

function annotationBytes({ annotations, additions }: Message): Uint8Array {
  const writer = new ValueWriter()
  const entries: (readonly [string, Value])[] = Object.entries(annotations ?? {})
  if (additions !== undefined) entries.push([additionsName, additions])
  writer.write({ type: 'map', value: entries })
  return writer.bytes
}

function readAnnotations(bytes: Buffer): Pick<Message, 'annotations' | 'additions'> {
  const value = new ValueReader(bytes).read()
  const annotations: Record<string, string | number> = {}
  let additions: Uint8Array | undefined
  if (!isTyped(value) || value.type !== 'map') return { annotations, additions }
  for (const [name, item] of value.value) {
    if (typeof item === 'string' || typeof item === 'number') annotations[String(name)] = item
    else if (name === additionsName && item instanceof Uint8Array) additions = Uint8Array.from(item)
  }
  const isAddedOnly = additions !== undefined && value.value.length === 1
  return { annotations: isAddedOnly ? undefined : annotations, additions }
}
