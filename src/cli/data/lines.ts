/**
 * The lines of an export, each one JSON object, in this order:
 *
 *     { "kind": "manifoldmq-export", "version": 1 }
 *     { "kind": "owner", "id", "spec": { "kind": "queue" | "subscription" | "retained", "name", "settings" }, "lastSequence" }
 *     { "kind": "message", "owner", "sequence", "deliveryCount", "redelivered", "notBefore", "message": { … } }
 *     { "kind": "state", "key", "value": base64 }
 *     { "kind": "end", "owners", "messages", "states" }
 *
 * Messages of an owner come by priority, and of one priority in their order. Of a message `headerBase64` and the body are its
 * bytes in its `format`, and all that an import reads; `properties` are for whoever reads the lines without knowing the format.
 */
import { isUtf8 } from 'node:buffer'
import { Address } from '../../address.ts'
import { type Annotations, type ContentFormat, Message, MessageSource } from '../../message.ts'
import type { OwnerSpec, StoredEntry } from '../../store/store.ts'
import { scalar, type Value } from '../../value.ts'

export const exportVersion = 1

export type ExportLine =
  | { readonly kind: 'manifoldmq-export'; readonly version: number }
  | OwnerLine
  | MessageLine
  | { readonly kind: 'state'; readonly key: string; readonly value: string }
  | EndLine

export interface OwnerLine {
  readonly kind: 'owner'
  readonly id: number
  readonly spec: OwnerSpec
  readonly lastSequence: number
}

export interface MessageLine {
  readonly kind: 'message'
  readonly owner: number
  readonly sequence: number
  readonly deliveryCount: number
  readonly redelivered: boolean
  readonly notBefore: number
  readonly message: MessageJson
}

export interface EndLine {
  readonly kind: 'end'
  readonly owners: number
  readonly messages: number
  readonly states: number
}

interface MessageJson {
  readonly id: string
  readonly address: string
  readonly format: string
  readonly headerBase64: string
  readonly body?: string
  readonly bodyBase64?: string
  readonly durable: boolean
  readonly priority: number
  readonly expiresAt: number
  readonly deliverAt: number
  readonly timestamp: number
  readonly groupId?: string
  readonly retain: boolean
  readonly source: { readonly idPrefix: string; readonly clientId?: string; readonly principal: string }
  readonly number: number
  readonly annotations?: Annotations
  readonly properties?: Readonly<Record<string, unknown>>
}

export function messageLine(owner: number, entry: StoredEntry): MessageLine {
  const { sequence, deliveryCount, redelivered, notBefore, message } = entry
  return { kind: 'message', owner, sequence, deliveryCount, redelivered, notBefore, message: toJson(message) }
}

function toJson(message: Message): MessageJson {
  const { content, bodyOffset, groupId, annotations, source } = message
  const body = Buffer.from(content.buffer, content.byteOffset + bodyOffset, content.length - bodyOffset)
  return {
    id: message.id,
    address: message.address.toString(),
    format: message.format.name,
    ...(isUtf8(body) ? { body: body.toString() } : { bodyBase64: body.toString('base64') }),
    headerBase64: Buffer.from(content.buffer, content.byteOffset, bodyOffset).toString('base64'),
    durable: message.durable,
    priority: message.priority,
    expiresAt: message.expiresAt,
    deliverAt: message.deliverAt,
    timestamp: message.timestamp,
    ...(groupId === undefined ? {} : { groupId }),
    retain: message.retain,
    source: {
      idPrefix: source.idPrefix,
      ...(source.clientId === undefined ? {} : { clientId: source.clientId }),
      principal: source.principal,
    },
    number: message.number,
    ...(annotations === undefined ? {} : { annotations }),
    properties: propertiesOf(message),
  }
}

/** What a message says of itself, as plain JSON; of repeated names the first. */
export function propertiesOf(message: Message): Readonly<Record<string, unknown>> {
  const view = message.view()
  const { correlationId, replyTo, subject, contentType, contentEncoding, userId } = view
  const named = {
    correlationId: plain(correlationId ?? null),
    replyTo: replyTo?.toString(),
    subject,
    contentType,
    contentEncoding,
    userId,
  }
  const found = new Map<string, unknown>(
    Object.entries(named).filter(([, value]) => value !== undefined && value !== null),
  )
  for (const [name, value] of view.properties) if (!found.has(name)) found.set(name, plain(value))
  return Object.fromEntries(found)
}

function plain(value: Value): unknown {
  const found = scalar(value)
  if (found instanceof Uint8Array) return Buffer.from(found).toString('base64')
  return typeof found === 'bigint' ? found.toString() : found
}

/** A line that cannot be imported; the sentence says why. */
export class LineError extends Error {
  override readonly name = 'LineError'
}

/** Reads a line. Throws a {@link LineError}. */
export function parseLine(text: string): ExportLine {
  let line: unknown
  try {
    line = JSON.parse(text)
  } catch {
    throw new LineError('it is not JSON')
  }
  const fields = objectOf(line, 'it')
  switch (fields.kind) {
    case 'manifoldmq-export':
      return { kind: fields.kind, version: numberOf(fields, 'version') }
    case 'owner':
      return {
        kind: fields.kind,
        id: numberOf(fields, 'id'),
        spec: specOf(fields.spec),
        lastSequence: numberOf(fields, 'lastSequence'),
      }
    case 'message':
      return messageLineOf(fields)
    case 'state':
      return { kind: fields.kind, key: textOf(fields, 'key'), value: textOf(fields, 'value') }
    case 'end':
      return {
        kind: fields.kind,
        owners: numberOf(fields, 'owners'),
        messages: numberOf(fields, 'messages'),
        states: numberOf(fields, 'states'),
      }
    default:
      throw new LineError(`its kind ${JSON.stringify(fields.kind)} is unknown`)
  }
}

/** Makes the message of a line. Messages of one session share their source, as `sources` knows them. */
export class MessageReader {
  readonly #formats: (name: string) => ContentFormat
  readonly #sources: Map<string, MessageSource>
  readonly #addresses: Map<string, Address>

  constructor(formats: (name: string) => ContentFormat) {
    this.#formats = formats
    this.#sources = new Map()
    this.#addresses = new Map()
  }

  /** Throws a {@link LineError}. */
  read({ message }: MessageLine): Message {
    const header = Buffer.from(message.headerBase64, 'base64')
    const { body, bodyBase64 } = message
    const content = Buffer.concat([
      header,
      body === undefined ? Buffer.from(bodyBase64 ?? '', 'base64') : Buffer.from(body),
    ])
    const { priority } = message
    if (!Number.isInteger(priority) || priority < 0 || priority > 9)
      throw new LineError(`its priority ${priority} is none`)
    return new Message({
      address: this.#address(message.address),
      format: this.#formats(message.format),
      content,
      bodyOffset: header.length,
      durable: message.durable,
      priority,
      expiresAt: message.expiresAt,
      deliverAt: message.deliverAt,
      timestamp: message.timestamp,
      groupId: message.groupId,
      retain: message.retain,
      source: this.#source(message.source),
      number: message.number,
      annotations: message.annotations,
    })
  }

  #address(text: string): Address {
    const known = this.#addresses.get(text)
    if (known !== undefined) return known
    const address = Address.parse(text)
    if (!(address instanceof Address)) throw new LineError(address.message)
    if (this.#addresses.size >= rememberedMax) this.#addresses.clear()
    this.#addresses.set(text, address)
    return address
  }

  #source({ idPrefix, clientId, principal }: MessageJson['source']): MessageSource {
    const key = JSON.stringify([idPrefix, clientId, principal])
    const known = this.#sources.get(key)
    if (known !== undefined) return known
    const source = new MessageSource(idPrefix, clientId, principal)
    if (this.#sources.size >= rememberedMax) this.#sources.clear()
    this.#sources.set(key, source)
    return source
  }
}

const rememberedMax = 10_000

type Fields = Readonly<Record<string, unknown>>

function messageLineOf(fields: Fields): MessageLine {
  const message = objectOf(fields.message, '"message"')
  const source = objectOf(message.source, '"source"')
  return {
    kind: 'message',
    owner: numberOf(fields, 'owner'),
    sequence: numberOf(fields, 'sequence'),
    deliveryCount: numberOf(fields, 'deliveryCount'),
    redelivered: booleanOf(fields, 'redelivered'),
    notBefore: numberOf(fields, 'notBefore'),
    message: {
      id: textOf(message, 'id'),
      address: textOf(message, 'address'),
      format: textOf(message, 'format'),
      headerBase64: textOf(message, 'headerBase64'),
      ...(message.body === undefined
        ? { bodyBase64: textOf(message, 'bodyBase64') }
        : { body: textOf(message, 'body') }),
      durable: booleanOf(message, 'durable'),
      priority: numberOf(message, 'priority'),
      expiresAt: numberOf(message, 'expiresAt'),
      deliverAt: numberOf(message, 'deliverAt'),
      timestamp: numberOf(message, 'timestamp'),
      ...(message.groupId === undefined ? {} : { groupId: textOf(message, 'groupId') }),
      retain: booleanOf(message, 'retain'),
      source: {
        idPrefix: textOf(source, 'idPrefix'),
        ...(source.clientId === undefined ? {} : { clientId: textOf(source, 'clientId') }),
        principal: textOf(source, 'principal'),
      },
      number: numberOf(message, 'number'),
      ...(message.annotations === undefined ? {} : { annotations: annotationsOf(message.annotations) }),
    },
  }
}

function specOf(value: unknown): OwnerSpec {
  const fields = objectOf(value, '"spec"')
  const { kind } = fields
  if (kind !== 'queue' && kind !== 'subscription' && kind !== 'retained')
    throw new LineError(`${JSON.stringify(kind)} holds no messages`)
  const settings: Record<string, string | boolean> = {}
  for (const [name, setting] of Object.entries(objectOf(fields.settings, '"settings"'))) {
    if (typeof setting !== 'string' && typeof setting !== 'boolean')
      throw new LineError(`the setting "${name}" is neither text nor true or false`)
    settings[name] = setting
  }
  return { kind, name: textOf(fields, 'name'), settings }
}

function annotationsOf(value: unknown): Annotations {
  const annotations: Record<string, string | number> = {}
  for (const [name, annotation] of Object.entries(objectOf(value, '"annotations"'))) {
    if (typeof annotation !== 'string' && typeof annotation !== 'number')
      throw new LineError(`the annotation "${name}" is neither text nor a number`)
    annotations[name] = annotation
  }
  return annotations
}

function objectOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new LineError(`${what} is no object`)
  return value as Fields
}

function numberOf(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number' || !(value >= 0)) throw new LineError(`"${name}" must be a number from 0 on`)
  return value
}

function textOf(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new LineError(`"${name}" must be text`)
  return value
}

function booleanOf(fields: Fields, name: string): boolean {
  const value = fields[name]
  if (typeof value !== 'boolean') throw new LineError(`"${name}" must be true or false`)
  return value
}
