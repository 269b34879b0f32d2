import type { Value } from '../../../src/core.ts'
import { Cursor } from '../cursor.ts'
import { Kind, plainHead, type SectionHead } from '../section.ts'
import { textBytes } from '../text.ts'
import { readEntries, readItems, readValue, writeValue } from '../values.ts'
import { GrowingBytes } from '../writer.ts'
import { type Plain, type Properties, type PropertyInput, toEntries, toPlain, toValue } from './values.ts'

/** What may be sent as it is: text, bytes, a map of typed values, nothing; everything else goes as JSON. */
export type Payload =
  | string
  | Uint8Array
  | ReadonlyMap<string, PropertyInput>
  | object
  | number
  | boolean
  | null
  | undefined

/** A payload of a kind that its type does not tell. */
export class Encoded {
  readonly kind: Kind
  readonly value: unknown

  constructor(kind: Kind, value: unknown) {
    this.kind = kind
    this.value = value
  }
}

export interface SendOptions {
  /** Survives a restart of the broker. Default: true for queues with `confirm: 'stored'`, false otherwise. */
  readonly persistent?: boolean | undefined
  /** 0 to 9; 4 is normal. */
  readonly priority?: number | undefined
  /** Milliseconds the message lives. */
  readonly ttl?: number | undefined
  /** Milliseconds before it is delivered. */
  readonly delay?: number | undefined
  readonly properties?: Properties | undefined
  readonly correlationId?: PropertyInput
  /** `queue://replies` */
  readonly replyTo?: string | undefined
  readonly subject?: string | undefined
  readonly contentType?: string | undefined
  /** Says how the sender has encoded the body: `deflate`. Nobody decodes it on the way. */
  readonly contentEncoding?: string | undefined
  /** Messages of one group go to one consumer, in order. */
  readonly group?: string | undefined
  readonly groupSequence?: number | undefined
  /** The sender's own id for the message; without it the broker's counts. */
  readonly messageId?: string | undefined
  /** `true` for now, or milliseconds since the epoch. */
  readonly timestamp?: boolean | number | undefined
  readonly traceparent?: string | undefined
  readonly userId?: string | undefined
  /** Kept as the topic's last message, for new subscribers. */
  readonly retain?: boolean | undefined
}

/** A message ready to be written, any number of times: its body must not change until it is confirmed. */
export class Outgoing {
  readonly kind: Kind
  readonly persistent: boolean
  /** Undefined: it says nothing but kind and persistence. */
  readonly head: SectionHead | undefined
  /** What was given, for those who are handed it as it is. */
  readonly payload: unknown
  /** About as many bytes as it takes. */
  readonly roughBytes: number
  #body: string | Uint8Array | undefined

  constructor(payload: unknown, kind: Kind, persistent: boolean, head: SectionHead | undefined) {
    this.kind = kind
    this.persistent = persistent
    this.head = head
    this.payload = payload
    this.roughBytes = 64 + (typeof payload === 'string' || payload instanceof Uint8Array ? payload.length : 256)
    this.#body = undefined
  }

  /** The body as text that is to be written in UTF-8, or as bytes. Made once, when it is first asked for. */
  get body(): string | Uint8Array {
    this.#body ??= encodeBody(this.kind, this.payload)
    return this.#body
  }
}

export interface Times {
  /** The broker's time now. */
  now(): number
}

/** What is to be sent. Throws a RangeError or TypeError for what cannot be. */
export function outgoing(
  payload: Payload | Encoded,
  options: SendOptions | undefined,
  place: { readonly persistent: boolean; readonly to: string | undefined; readonly times: Times },
): Outgoing {
  const isEncoded = payload instanceof Encoded
  const kind = isEncoded ? payload.kind : kindOf(payload)
  const value = isEncoded ? payload.value : payload
  const persistent = options?.persistent ?? place.persistent
  if (place.to === undefined && (options === undefined || isPlain(options))) {
    return new Outgoing(value, kind, persistent, undefined)
  }
  return new Outgoing(value, kind, persistent, headOf(options ?? {}, kind, persistent, place))
}

function isPlain(options: SendOptions): boolean {
  for (const name in options) {
    if (name !== 'persistent' && options[name as keyof SendOptions] !== undefined) return false
  }
  return true
}

function kindOf(payload: Payload): Kind {
  if (typeof payload === 'string') return Kind.text
  if (payload === undefined) return Kind.none
  if (payload instanceof Uint8Array) return Kind.bytes
  return payload instanceof Map ? Kind.map : Kind.json
}

function headOf(
  options: SendOptions,
  kind: Kind,
  persistent: boolean,
  place: { readonly to: string | undefined; readonly times: Times },
): SectionHead {
  const { priority = 4, ttl, delay, timestamp, properties, correlationId } = options
  if (!Number.isInteger(priority) || priority < 0 || priority > 9) {
    throw new RangeError(`priority is 0 to 9, not ${priority}`)
  }
  const now = ttl === undefined && delay === undefined && timestamp !== true ? 0 : Math.round(place.times.now())
  return {
    ...plainHead,
    kind,
    persistent,
    priority,
    expiresAt: ttl === undefined ? 0 : now + whole('ttl', ttl),
    deliverAt: delay === undefined ? 0 : now + whole('delay', delay),
    timestamp: timestamp === true ? now : timestamp === false ? 0 : whole('timestamp', timestamp ?? 0),
    messageId: options.messageId,
    correlationId: correlationId === undefined ? undefined : toValue(correlationId),
    replyTo: options.replyTo,
    subject: options.subject,
    groupId: options.group,
    groupSequence: whole('groupSequence', options.groupSequence ?? 0),
    contentType: options.contentType,
    contentEncoding: options.contentEncoding,
    traceparent: options.traceparent,
    userId: options.userId,
    retain: options.retain ?? false,
    to: place.to,
    properties: properties === undefined ? plainHead.properties : toEntries(properties),
  }
}

/** Far enough from the largest number that is written, so that the time of day can be added. */
const wholeMax = 2 ** 52

function whole(name: string, value: number): number {
  if (value >= 0 && value <= wholeMax) return Math.round(value)
  throw new RangeError(`${name} is a number from 0 to 2^52, not ${value}`)
}

function encodeBody(kind: Kind, payload: unknown): string | Uint8Array {
  switch (kind) {
    case Kind.none:
      return ''
    case Kind.text:
      return payload as string
    case Kind.bytes:
      return payload as Uint8Array
    case Kind.json:
      return JSON.stringify(payload) ?? 'null'
    case Kind.map:
      return encoded({
        type: 'map',
        value: entriesOf(payload as ReadonlyMap<string, PropertyInput> | Properties),
      }).subarray(1)
    case Kind.list:
      return encoded({ type: 'list', value: (payload as readonly PropertyInput[]).map(toValue) }).subarray(1)
    case Kind.value:
      return encoded(toValue(payload as PropertyInput))
    default:
      return kind satisfies never
  }
}

function entriesOf(map: ReadonlyMap<string, PropertyInput> | Properties): readonly (readonly [string, Value])[] {
  return map instanceof Map
    ? Array.from(map, ([name, value]) => [String(name), toValue(value)])
    : toEntries(map as Properties)
}

/** A value with its tag before it, which a body of that kind is without. */
function encoded(value: Value): Uint8Array {
  const bytes = new GrowingBytes()
  writeValue(bytes, value)
  return bytes.bytes
}

/** The section of a message as bytes of its own. */
export function bodyBytes(message: Outgoing): Uint8Array {
  const { body } = message
  return typeof body === 'string' ? textBytes(body) : body
}

export function readMap(body: Uint8Array): ReadonlyMap<string, Plain> {
  return new Map(readEntries(new Cursor(body)).map(([name, value]) => [name, toPlain(value)] as const))
}

export function readList(body: Uint8Array): readonly Plain[] {
  return readItems(new Cursor(body)).map(toPlain)
}

export function readSingle(body: Uint8Array): Plain {
  return toPlain(readValue(new Cursor(body)))
}
