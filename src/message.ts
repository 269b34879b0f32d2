import type { Address } from './address.ts'
import type { Value } from './value.ts'

/** The canonical form of a message, decoded from its content only when somebody asks for it. */
export interface MessageView {
  readonly messageId: string | undefined
  readonly correlationId: Value | undefined
  readonly replyTo: Address | undefined
  readonly subject: string | undefined
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly userId: string | undefined
  /** User properties in order; names may repeat. */
  readonly properties: readonly (readonly [name: string, value: Value])[]
  readonly body: Body
}

/** A message of which nothing is known. */
export const emptyView: MessageView = {
  messageId: undefined,
  correlationId: undefined,
  replyTo: undefined,
  subject: undefined,
  contentType: undefined,
  contentEncoding: undefined,
  userId: undefined,
  properties: [],
  body: { kind: 'empty' },
}

export type Body =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Value, Value])[] }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  | { readonly kind: 'empty' }

/** What the core knows of a protocol's message bytes: their name, and how to see them in the canonical form. */
export interface ContentFormat {
  /** Written to the store beside the content; never changes its meaning. */
  readonly name: string
  /** Decodes content that this format accepted before. Does not throw. */
  view(message: Message): MessageView
}

/** Who sent a message and from where; shared by all messages of one session. */
export class MessageSource {
  /** The message id of a message is this prefix followed by its number. */
  readonly idPrefix: string
  readonly clientId: string | undefined
  readonly principal: string
  #idPrefixBytes: Uint8Array | undefined
  #count: number

  constructor(idPrefix: string, clientId: string | undefined, principal: string) {
    this.idPrefix = idPrefix
    this.clientId = clientId
    this.principal = principal
    this.#idPrefixBytes = undefined
    this.#count = 0
  }

  /** The prefix as the bytes that protocols of text write. */
  get idPrefixBytes(): Uint8Array {
    this.#idPrefixBytes ??= Buffer.from(this.idPrefix)
    return this.#idPrefixBytes
  }

  /** The number for the next message of this source, from 1. */
  next(): number {
    this.#count += 1
    return this.#count
  }
}

/** What the broker itself says of a message: why it was dead-lettered, for one. Never taken from a sender. */
export interface Annotations {
  readonly [name: string]: string | number
}

/** A message handed over within the process as an object: its content is made only if somebody needs the bytes. */
export interface LazyContent {
  /** What was sent; nobody may change it any more. */
  readonly payload: unknown
  /** About as many bytes as the content would have; counted against limits. */
  readonly roughBytes: number
  encode(): { readonly content: Uint8Array; readonly bodyOffset: number }
}

export interface MessageInit {
  readonly address: Address
  readonly format: ContentFormat
  readonly content: Uint8Array
  readonly bodyOffset: number
  readonly durable: boolean
  /** Less than 0 is taken for 0, more than 9 for 9. */
  readonly priority: number
  readonly expiresAt: number
  readonly deliverAt: number
  readonly timestamp: number
  readonly groupId: string | undefined
  readonly retain: boolean
  readonly source: MessageSource
  readonly number: number
  readonly annotations: Annotations | undefined
  /** See {@link Message.additions}. */
  readonly additions?: Uint8Array | undefined
  /**
   * Not to be delivered before it is in the store, if it is kept there at all: whoever sends it again after a crash can then not have
   * it delivered twice.
   */
  readonly waitsForStore?: boolean | undefined
  /** Instead of `content`, which is not looked at then. */
  readonly lazy?: LazyContent | undefined
}

/** There are ten lists in a queue; what is no number is normal. */
function priorityOf(given: number): number {
  if (given >= 0 && given <= 9) return Math.trunc(given)
  if (Number.isNaN(given)) return 4
  return given < 0 ? 0 : 9
}

const noBytes = new Uint8Array(0)
/** Bytes a message costs beside its content: objects, list links, index entries. Counted against memory limits. */
const overheadBytes = 400

/**
 * One message: immutable, shared by all its subscribers and queues. `content` stays as it arrived, in its `format`: a header
 * block up to `bodyOffset`, then the body. The message owns the content bytes.
 */
export class Message {
  readonly address: Address
  readonly format: ContentFormat
  readonly durable: boolean
  /** Set while it is an object of this process. */
  readonly lazy: LazyContent | undefined
  /** 0 to 9; 4 is normal. */
  readonly priority: number
  /** Milliseconds since the epoch; 0: never. */
  readonly expiresAt: number
  /** Milliseconds since the epoch before which the message is not delivered; 0: at once. */
  readonly deliverAt: number
  /** When the broker took the message in, milliseconds since the epoch. */
  readonly timestamp: number
  readonly groupId: string | undefined
  /**
   * The publisher asked for it to be kept as the topic's retained message; with an empty body it clears the retained one. Stays
   * as it was set in every delivery, for subscriptions that want to see it.
   */
  readonly retain: boolean
  readonly source: MessageSource
  readonly number: number
  readonly annotations: Annotations | undefined
  /** What consumers have added to it by modifying it, in the writing of their protocol; it stays with it, over restarts too. */
  readonly additions: Uint8Array | undefined
  readonly waitsForStore: boolean
  /** How many queues hold it; kept by the broker's memory account. */
  holders: number
  #content: Uint8Array | undefined
  #bodyOffset: number
  #view: MessageView | undefined

  constructor(init: MessageInit) {
    this.address = init.address
    this.format = init.format
    this.durable = init.durable
    this.priority = priorityOf(init.priority)
    this.expiresAt = init.expiresAt
    this.deliverAt = init.deliverAt
    this.timestamp = init.timestamp
    this.groupId = init.groupId
    this.retain = init.retain
    this.source = init.source
    this.number = init.number
    this.annotations = init.annotations
    this.additions = init.additions
    this.waitsForStore = init.waitsForStore ?? false
    this.lazy = init.lazy
    this.holders = 0
    this.#content = init.lazy === undefined ? init.content : undefined
    this.#bodyOffset = init.bodyOffset
    this.#view = undefined
  }

  /** The message id: unique over brokers and restarts, the same at every subscriber and on every delivery. */
  get id(): string {
    return this.source.idPrefix + this.number
  }

  get content(): Uint8Array {
    return this.#content ?? this.#encode()
  }

  get bodyOffset(): number {
    if (this.#content === undefined) this.#encode()
    return this.#bodyOffset
  }

  /** Bytes of the content, or about as many if that has not been made. */
  get contentBytes(): number {
    return this.lazy === undefined ? (this.#content?.length ?? 0) : this.lazy.roughBytes
  }

  /** Bytes counted against limits; the same for as long as the message lives. */
  get size(): number {
    return this.contentBytes + overheadBytes + (this.additions === undefined ? 0 : this.additions.length)
  }

  /** Length of the body in bytes. */
  get bodySize(): number {
    return this.content.length - this.bodyOffset
  }

  /** The canonical form, decoded on first use and kept. */
  view(): MessageView {
    this.#view ??= this.format.view(this)
    return this.#view
  }

  /** The same content under another address, lifetime and annotations; keeps the id. */
  with(change: Partial<MessageInit>): Message {
    return new Message({ ...this.#init(), ...change })
  }

  #init(): MessageInit {
    return {
      address: this.address,
      format: this.format,
      content: this.#content ?? noBytes,
      bodyOffset: this.#bodyOffset,
      durable: this.durable,
      priority: this.priority,
      expiresAt: this.expiresAt,
      deliverAt: this.deliverAt,
      timestamp: this.timestamp,
      groupId: this.groupId,
      retain: this.retain,
      source: this.source,
      number: this.number,
      annotations: this.annotations,
      additions: this.additions,
      waitsForStore: this.waitsForStore,
      lazy: this.lazy,
    }
  }

  #encode(): Uint8Array {
    const made = this.lazy?.encode() ?? { content: new Uint8Array(0), bodyOffset: 0 }
    this.#content = made.content
    this.#bodyOffset = made.bodyOffset
    return made.content
  }
}
