import type { Value } from '../../../src/core.ts'
import { OutcomeCode } from '../frame.ts'
import { Kind, type Section } from '../section.ts'
import { readText } from '../text.ts'
import { type Payload, readList, readMap, readSingle, type SendOptions } from './body.ts'
import type { Codec } from './codecs.ts'
import { ManifoldError } from './errors.ts'
import { type Plain, toPlain } from './values.ts'
import type { WaitOptions } from './wait.ts'

/** A delivery as it has come: over a wire as bytes of a chunk that nobody changes, within the process as the broker has it. */
export interface Arrival {
  /** Number of the delivery on its link. */
  readonly number: number
  readonly redelivered: boolean
  readonly isRetained: boolean
  readonly deliveryCount: number
  /** The id that the broker gave the message. */
  readonly brokerId: string
  readonly address: string
  readonly annotations: Readonly<Record<string, Plain>>
  /** Bytes it counts against the credit. */
  readonly size: number
  section(): Section
  /** What was sent, if it was handed over as it is; undefined otherwise. */
  readonly reference: { readonly payload: unknown } | undefined
}

/** The one who delivered a message, to whom its outcome is told. */
export interface Origin {
  settle(message: Message<unknown>, outcome: OutcomeCode, how: SettleOptions): Promise<void>
  reply(message: Message<unknown>, payload: Payload, options: SendOptions | undefined): Promise<void>
}

/** `signal` and `timeout` bound the wait that `confirm` makes. */
export interface SettleOptions extends WaitOptions {
  /** Resolve once the broker has made it safe; otherwise as soon as it is on its way. */
  readonly confirm?: boolean | undefined
  /** Of a failed delivery: milliseconds until the next one. */
  readonly delay?: number | undefined
  /** Of a rejected message: why, for whoever looks at the dead letters. */
  readonly reason?: string | undefined
}

export type MessageKind = 'none' | 'bytes' | 'text' | 'map' | 'list' | 'value' | 'json'
const kindNames: Readonly<Record<Kind, MessageKind>> = ['none', 'bytes', 'text', 'map', 'list', 'value', 'json']

const settledResolved = Promise.resolve()
const noOptions: SettleOptions = {}

/** A message that has come in. Decoded when it is looked at; its bytes are a view that nobody else changes. */
export class Message<T = unknown> {
  isSettled: boolean
  /** Which of its consumer's connections it came over. @internal */
  readonly epoch: number
  readonly #arrival: Arrival
  readonly #origin: Origin
  readonly #codec: Codec<T> | undefined
  #section: Section | undefined

  /** @internal */
  constructor(arrival: Arrival, origin: Origin, epoch: number, codec: Codec<T> | undefined) {
    this.isSettled = false
    this.epoch = epoch
    this.#arrival = arrival
    this.#origin = origin
    this.#codec = codec
    this.#section = undefined
  }

  /** The same message with a body that another codec decodes; one of the two is to be settled. */
  as<Other>(codec: Codec<Other>): Message<Other> {
    return new Message(this.#arrival, this.#origin, this.epoch, codec)
  }

  /** Number of the delivery on its link. */
  get number(): number {
    return this.#arrival.number
  }

  /** Somebody may have seen it before. */
  get redelivered(): boolean {
    return this.#arrival.redelivered
  }

  /** It is the topic's retained message. */
  get isRetained(): boolean {
    return this.#arrival.isRetained
  }

  /** Failed earlier deliveries. */
  get deliveryCount(): number {
    return this.#arrival.deliveryCount
  }

  /** Where it was sent to: `queue://orders`. */
  get address(): string {
    return this.#arrival.address
  }

  /** What the broker says of it: why it was dead-lettered, for one. */
  get annotations(): Readonly<Record<string, Plain>> {
    return this.#arrival.annotations
  }

  /** The sender's own id, or the broker's: unique, and the same at every consumer. */
  get id(): string {
    return this.#head.messageId ?? this.#arrival.brokerId
  }

  get kind(): MessageKind {
    return kindNames[this.#head.kind]
  }

  /** The body as its kind has it, or as the codec of the destination decodes it. */
  get body(): T {
    if (this.#codec !== undefined) return this.#codec.decode(this)
    const reference = this.#arrival.reference
    return (reference === undefined ? this.#plainBody() : reference.payload) as T
  }

  /** The body as text. Throws if it is a map, a list or a value. */
  get text(): string {
    const { kind } = this.#head
    if (kind > Kind.text && kind !== Kind.json) throw wrongKind(this.kind, 'text')
    const reference = this.#arrival.reference
    if (typeof reference?.payload === 'string') return reference.payload
    const { body } = this.section
    return readText(body, 0, body.length)
  }

  /** The body as bytes, whatever it is. */
  get bytes(): Uint8Array {
    const reference = this.#arrival.reference
    return reference?.payload instanceof Uint8Array ? reference.payload : this.section.body
  }

  /** The body read as JSON. Throws a SyntaxError if it is none. */
  json<Json = unknown>(): Json {
    const reference = this.#arrival.reference
    if (reference !== undefined && this.#head.kind === Kind.json) return reference.payload as Json
    return JSON.parse(this.text) as Json
  }

  get map(): ReadonlyMap<string, Plain> {
    if (this.#head.kind !== Kind.map) throw wrongKind(this.kind, 'map')
    return readMap(this.section.body)
  }

  get list(): readonly Plain[] {
    if (this.#head.kind !== Kind.list) throw wrongKind(this.kind, 'list')
    return readList(this.section.body)
  }

  /** Properties by name; of a repeated name the last one. */
  get properties(): Readonly<Record<string, Plain>> {
    const properties: Record<string, Plain> = Object.create(null)
    for (const [name, value] of this.#head.properties) properties[name] = toPlain(value)
    return properties
  }

  /** Properties in order, with their types. */
  get typedProperties(): readonly (readonly [name: string, value: Value])[] {
    return this.#head.properties
  }

  get correlationId(): Plain | undefined {
    const { correlationId } = this.#head
    return correlationId === undefined ? undefined : toPlain(correlationId)
  }

  get replyTo(): string | undefined {
    return this.#head.replyTo
  }

  get subject(): string | undefined {
    return this.#head.subject
  }

  get contentType(): string | undefined {
    return this.#head.contentType
  }

  get contentEncoding(): string | undefined {
    return this.#head.contentEncoding
  }

  get persistent(): boolean {
    return this.#head.persistent
  }

  get priority(): number {
    return this.#head.priority
  }

  get group(): string | undefined {
    return this.#head.groupId
  }

  get groupSequence(): number {
    return this.#head.groupSequence
  }

  get traceparent(): string | undefined {
    return this.#head.traceparent
  }

  get userId(): string | undefined {
    return this.#head.userId
  }

  /** When it was sent, if the sender said so. */
  get timestamp(): Date | undefined {
    return dateOf(this.#head.timestamp)
  }

  get expiresAt(): Date | undefined {
    return dateOf(this.#head.expiresAt)
  }

  /** Bytes it takes on the wire. */
  get size(): number {
    return this.#arrival.size
  }

  /** It has been dealt with. */
  accept(how: SettleOptions = noOptions): Promise<void> {
    return this.#settle(OutcomeCode.accept, how)
  }

  /** Somebody else shall have it; the delivery does not count. */
  release(how: SettleOptions = noOptions): Promise<void> {
    return this.#settle(OutcomeCode.release, how)
  }

  /** It could not be dealt with this time: delivered again, after `delay` if given, until it is dead-lettered. */
  fail(how: SettleOptions = noOptions): Promise<void> {
    return this.#settle(OutcomeCode.fail, how)
  }

  /** It can never be dealt with: dead-lettered now, with the reason. */
  reject(reason?: string, how: SettleOptions = noOptions): Promise<void> {
    return this.#settle(OutcomeCode.reject, { ...how, reason })
  }

  /** Answers the one who asked, under the correlation id of this message. */
  reply(payload: Payload, options?: SendOptions): Promise<void> {
    return this.#origin.reply(this, payload, options)
  }

  /** The section, read when it is first asked for. @internal */
  get section(): Section {
    this.#section ??= this.#arrival.section()
    return this.#section
  }

  get #head(): Section['head'] {
    return this.section.head
  }

  #settle(outcome: OutcomeCode, how: SettleOptions): Promise<void> {
    if (this.isSettled) return settledResolved
    this.isSettled = true
    return this.#origin.settle(this, outcome, how)
  }

  #plainBody(): unknown {
    const { head, body } = this.section
    switch (head.kind) {
      case Kind.none:
        return undefined
      case Kind.bytes:
        return body
      case Kind.text:
        return readText(body, 0, body.length)
      case Kind.json:
        return this.json()
      case Kind.map:
        return readMap(body)
      case Kind.list:
        return readList(body)
      case Kind.value:
        return readSingle(body)
      default:
        return head.kind satisfies never
    }
  }
}

function dateOf(ms: number): Date | undefined {
  return ms === 0 ? undefined : new Date(ms)
}

function wrongKind(is: MessageKind, asked: string): ManifoldError {
  return new ManifoldError('invalid-request', `the body is of the kind ${is}, not ${asked}: look at message.kind first`)
}
