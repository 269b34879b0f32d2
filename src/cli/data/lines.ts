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
import { stateBytesMax, stateKeyBytesMax } from '../../limits.ts'
import { type Annotations, type ContentFormat, Message, MessageSource } from '../../message.ts'
import type { OwnerSpec, StoredEntry } from '../../store/store.ts'
import { scalar, type Value } from '../../value.ts'

export const exportVersion = 1

export type ExportLine =
  | { readonly kind: 'manifoldmq-export'; readonly version: number }
  | OwnerLine
  | MessageLine
  | StateLine
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

/** `value` in base64. */
export interface StateLine {
  readonly kind: 'state'
  readonly key: string
  readonly value: string
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
  readonly additionsBase64?: string
  readonly properties?: Readonly<Record<string, unknown>>
}

export function messageLine(owner: number, entry: StoredEntry): MessageLine {
  const { sequence, deliveryCount, redelivered, notBefore, message } = entry
  return { kind: 'message', owner, sequence, deliveryCount, redelivered, notBefore, message: toJson(message) }
}

function toJson(message: Message): MessageJson {
  const { content, bodyOffset, groupId, annotations, additions, source } = message
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
    ...(additions === undefined ? {} : { additionsBase64: Buffer.from(additions).toString('base64') }),
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
      return { kind: fields.kind, version: wholeOf(fields, 'version') }
    case 'owner':
      return {
        kind: fields.kind,
        id: wholeOf(fields, 'id'),
        spec: specOf(fields.spec),
        lastSequence: wholeOf(fields, 'lastSequence'),
      }
    case 'message':
      return messageLineOf(fields)
    case 'state':
      return stateLineOf(fields)
    case 'end':
      return {
        kind: fields.kind,
        owners: wholeOf(fields, 'owners'),
        messages: wholeOf(fields, 'messages'),
        states: wholeOf(fields, 'states'),
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
    const header = base64Of(message.headerBase64, 'headerBase64')
    const { body, bodyBase64 } = message
    const content = Buffer.concat([
      header,
      body === undefined ? base64Of(bodyBase64 ?? '', 'bodyBase64') : Buffer.from(body),
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
      additions:
        message.additionsBase64 === undefined ? undefined : base64Of(message.additionsBase64, 'additionsBase64'),
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
    owner: wholeOf(fields, 'owner'),
    sequence: wholeOf(fields, 'sequence'),
    deliveryCount: wholeOf(fields, 'deliveryCount'),
    redelivered: booleanOf(fields, 'redelivered'),
    notBefore: timeOf(fields, 'notBefore'),
    message: {
      id: textOf(message, 'id'),
      address: textOf(message, 'address'),
      format: textOf(message, 'format'),
      headerBase64: textOf(message, 'headerBase64'),
      ...(message.body === undefined
        ? { bodyBase64: textOf(message, 'bodyBase64') }
        : { body: textOf(message, 'body') }),
      durable: booleanOf(message, 'durable'),
      priority: wholeOf(message, 'priority'),
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
      number: wholeOf(message, 'number'),
      ...(message.annotations === undefined ? {} : { annotations: annotationsOf(message.annotations) }),
      ...(message.additionsBase64 === undefined ? {} : { additionsBase64: textOf(message, 'additionsBase64') }),
    },
  }
}

function stateLineOf(fields: Fields): StateLine {
  const key = textOf(fields, 'key')
  const value = textOf(fields, 'value')
  const { length } = base64Of(value, 'value')
  const isFitting = Buffer.byteLength(key) <= stateKeyBytesMax && length <= stateBytesMax
  if (key === '' || !isFitting) throw new LineError('its key or value is too long, or there is no key')
  return { kind: 'state', key, value }
}

function specOf(value: unknown): OwnerSpec {
  const fields = objectOf(value, '"spec"')
  const { kind } = fields
  if (kind !== 'queue' && kind !== 'subscription' && kind !== 'retained')
    throw new LineError(`${JSON.stringify(kind)} holds no messages`)
  const settings = entriesOf(fields.settings, '"settings"', (setting) => {
    return typeof setting === 'string' || typeof setting === 'boolean' ? setting : undefined
  })
  return { kind, name: textOf(fields, 'name'), settings }
}

function annotationsOf(value: unknown): Annotations {
  return entriesOf(value, '"annotations"', (annotation) => {
    return typeof annotation === 'string' || typeof annotation === 'number' ? annotation : undefined
  })
}

/** An object of which each value is what `check` says; a name may be anything, `__proto__` too. */
function entriesOf<T>(value: unknown, what: string, check: (item: unknown) => T | undefined): Record<string, T> {
  const entries = Object.entries(objectOf(value, what)).map(([name, item]): [string, T] => {
    const checked = check(item)
    if (checked === undefined) throw new LineError(`"${name}" of ${what} is of a kind that it cannot be`)
    return [name, checked]
  })
  return Object.fromEntries(entries)
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

/** A time, or a number below 0 that means something to the core. */
function timeOf(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new LineError(`"${name}" must be a number`)
  return value
}

/** A whole number that stays exact. */
function wholeOf(fields: Fields, name: string): number {
  const value = numberOf(fields, name)
  if (!Number.isSafeInteger(value)) throw new LineError(`"${name}" must be whole`)
  return value
}

/** Node reads base64 as far as it can; here nothing may be left out. */
function base64Of(text: string, name: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new LineError(`"${name}" is not base64`)
  return bytes
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
