import { Address } from '../../src/address.ts'
import {
  type ContentFormat,
  emptyView,
  Message,
  type MessageInit,
  MessageSource,
  type MessageView,
} from '../../src/message.ts'
import type { Value } from '../../src/value.ts'

/** What a test says of a message; `messageOf` adds the rest. */
export interface MessageGiven extends Partial<Omit<MessageInit, 'address' | 'format' | 'content' | 'bodyOffset'>> {
  /** An address, or its text as `Address.parse` reads it: `orders`, `topic://prices`. */
  readonly address?: Address | string
  /** Text or bytes; empty if not given. */
  readonly body?: string | Uint8Array
  /** User properties; as entries if a name repeats. */
  readonly properties?: { readonly [name: string]: Value } | MessageView['properties']
  /** The rest of the canonical form; wins over `body` and `properties`. */
  readonly view?: Partial<MessageView>
}

/** A format whose every message has the given canonical form, and that counts how often it was asked for. */
export class FixedFormat implements ContentFormat {
  readonly name = 'fixed'
  readonly #view: MessageView
  #views: number

  constructor(view: MessageView) {
    this.#view = view
    this.#views = 0
  }

  /** Calls of {@link view} so far. */
  get views(): number {
    return this.#views
  }

  view(): MessageView {
    this.#views += 1
    return this.#view
  }
}

/** Where messages come from if the test does not say. */
export const testSource = new MessageSource('test:', undefined, 'tester')

/**
 * A message for tests: by default an empty, non-durable one of priority 4 to `queue://orders` that never expires, of the time 1000,
 * with a new number of its source.
 *
 *     messageOf({ priority: 9, properties: { color: 'blue' }, body: 'hello' })
 */
export function messageOf(given: MessageGiven = {}): Message {
  const { address = 'orders', body = '', properties = {}, view = {}, source = testSource, ...routing } = given
  const isText = typeof body === 'string'
  const content = isText ? Buffer.from(body) : body
  return new Message({
    address: typeof address === 'string' ? mustParse(address) : address,
    format: new FixedFormat(
      viewOf({
        properties: isEntries(properties) ? properties : Object.entries(properties),
        body: isText ? { kind: 'text', text: body } : { kind: 'bytes', bytes: body },
        ...view,
      }),
    ),
    content,
    bodyOffset: 0,
    durable: false,
    priority: 4,
    expiresAt: 0,
    deliverAt: 0,
    timestamp: 1000,
    groupId: undefined,
    retain: false,
    source,
    number: given.number ?? source.next(),
    annotations: undefined,
    ...routing,
  })
}

/** How often the canonical form of a message of {@link messageOf} was decoded. */
export function viewsOf(message: Message): number {
  if (!(message.format instanceof FixedFormat)) throw new Error('not a message of messageOf')
  return message.format.views
}

function viewOf(given: Partial<MessageView>): MessageView {
  return { ...emptyView, ...given }
}

function mustParse(text: string): Address {
  const address = Address.parse(text)
  if (address instanceof Address) return address
  throw address
}

function isEntries(
  properties: { readonly [name: string]: Value } | MessageView['properties'],
): properties is MessageView['properties'] {
  return Array.isArray(properties)
}

/** Finds the format of messages of {@link messageOf} for a store; what it reads back has an empty canonical form but for the body. */
export function testFormats(name: string): ContentFormat | undefined {
  if (name !== 'fixed') return undefined
  return {
    name,
    view: (message) => {
      const body: MessageView['body'] = { kind: 'bytes', bytes: message.content.subarray(message.bodyOffset) }
      return new FixedFormat(viewOf({ body })).view()
    },
  }
}
