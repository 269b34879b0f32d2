import type {
  Address,
  BrokerError,
  Consumer,
  Delivery,
  Message,
  Outcome,
  Output,
  Subscription,
  Transaction,
} from '../../src/core.ts'
import type { Awaited } from './acks.ts'
import { type Encoded, encodeAnnotations, encodeView, StompFormat } from './content.ts'
import { writeDestination } from './destinations.ts'
import { messagePrefix, type OutgoingMessage, writeFrame, writeMessage } from './encoder.ts'
import { Command } from './frame.ts'
import { transcodeBlock, type Version, writeHeaders } from './headers.ts'

/** STOMP 1.2 "SUBSCRIBE ack Header". */
export type AckMode = 'auto' | 'client' | 'client-individual'

/** Credit of a subscription that needs none: what its peer has not read is bounded by the wire. */
const endlessCredit = 2 ** 30
const noBytes = new Uint8Array(0)
const lf = 10

/** What a subscription needs of its connection. */
export interface SubscriptionHost {
  readonly version: Version
  readonly output: Output
  /** Reused for every MESSAGE. */
  readonly outgoing: OutgoingMessage
  /** Notes a delivery that the client is to acknowledge; returns its ack header, or 0. */
  awaitAck(delivery: Delivery, subscription: StompSubscription): number
  subscriptionEnded(subscription: StompSubscription, error: BrokerError | undefined): void
}

export interface SubscriptionOptions {
  readonly id: string | undefined
  readonly address: Address
  /** The destination as the client wrote it. */
  readonly destination: string
  readonly mode: AckMode
  readonly prefetch: number
  readonly browse: boolean
  readonly durableName: string | undefined
}

/** One SUBSCRIBE of one client: encodes its MESSAGE frames. */
export class StompSubscription implements Consumer {
  readonly id: string | undefined
  readonly mode: AckMode
  readonly durableName: string | undefined
  readonly #host: SubscriptionHost
  readonly #destination: string
  readonly #isBrowser: boolean
  readonly #isPattern: boolean
  readonly #prefetch: number
  /** Start of every MESSAGE; of a pattern, of those of the last message's address. */
  #prefix: Uint8Array
  #prefixAddress: Address | undefined
  #subscription: Subscription | undefined

  constructor(host: SubscriptionHost, options: SubscriptionOptions) {
    this.id = options.id
    this.mode = options.mode
    this.durableName = options.durableName
    this.#host = host
    this.#destination = options.destination
    this.#isBrowser = options.browse
    this.#isPattern = options.address.isPattern
    this.#prefetch = options.prefetch
    this.#prefix = this.#isPattern ? noBytes : messagePrefix(host.version, options.id, options.destination)
    this.#prefixAddress = undefined
    this.#subscription = undefined
  }

  /** Starts deliveries. */
  open(subscription: Subscription): void {
    this.#subscription = subscription
    subscription.addCredit(this.#isEndless ? endlessCredit : this.#prefetch)
  }

  close(): void {
    this.#subscription?.close()
  }

  deliver(delivery: Delivery): void {
    const host = this.#host
    const { message } = delivery
    const { outgoing } = host
    const needsAck = !this.#isEndless
    outgoing.idPrefix = message.source.idPrefixBytes
    outgoing.number = message.number
    outgoing.ack = needsAck ? host.awaitAck(delivery, this) : 0
    outgoing.redelivered = delivery.redelivered
    outgoing.extra = hasExtra(delivery) ? this.#extra(delivery) : noBytes
    this.#setContent(message)
    writeMessage(host.output, this.#isPattern ? this.#prefixFor(message.address) : this.#prefix, outgoing)
    host.output.endFrame()
    if (!needsAck && (this.#subscription?.credit ?? 0) < endlessCredit / 2)
      this.#subscription?.addCredit(endlessCredit / 2)
  }

  ended(error?: BrokerError): void {
    if (this.#isBrowser && error === undefined) this.#writeEndOfBrowse()
    this.#host.subscriptionEnded(this, error)
  }

  /** Settles what an ACK or NACK names: in mode `client` everything before it too. Returns what it has settled. */
  settle(awaited: Awaited, outcome: Outcome, transaction: Transaction | undefined): readonly Delivery[] {
    const subscription = this.#subscription
    if (subscription === undefined) return []
    if (this.mode === 'client') {
      const settled = subscription.settleThrough(awaited.delivery, outcome, transaction)
      subscription.addCredit(settled.length)
      return settled
    }
    subscription.settle(awaited.delivery, outcome, transaction)
    subscription.addCredit(1)
    return [awaited.delivery]
  }

  get #isEndless(): boolean {
    return this.mode === 'auto' || this.#isBrowser
  }

  /** The content as it came if it came in this version's bytes; otherwise what that takes. */
  #setContent(message: Message): void {
    const { outgoing, version } = this.#host
    const { format, content, bodyOffset } = message
    outgoing.content = content
    outgoing.bodyOffset = bodyOffset
    outgoing.head = undefined
    if (format instanceof StompFormat) {
      if (format.version === version) return
      const block = content.subarray(0, bodyOffset - 1)
      const transcoded = transcodeBlock(block, format.version, version)
      if (transcoded !== block) outgoing.head = withBlankLine(transcoded)
      return
    }
    const encoded: Encoded = encodeView(message, version)
    outgoing.head = encoded.head
    outgoing.content = encoded.body
    outgoing.bodyOffset = 0
  }

  #extra(delivery: Delivery): Uint8Array {
    const { version } = this.#host
    const headers: (readonly [string, string])[] = []
    if (delivery.deliveryCount > 0) headers.push(['delivery-count', String(delivery.deliveryCount)])
    if (delivery.isRetained) headers.push(['retained', 'true'])
    const own = writeHeaders(headers, version)
    const { annotations } = delivery.message
    return annotations === undefined ? own : Buffer.concat([own, encodeAnnotations(annotations, version)])
  }

  #prefixFor(address: Address): Uint8Array {
    if (this.#prefixAddress !== address) {
      this.#prefixAddress = address
      this.#prefix = messagePrefix(this.#host.version, this.id, writeDestination(address))
    }
    return this.#prefix
  }

  /** ActiveMQ's marker: a MESSAGE without content and with `browser:end`. */
  #writeEndOfBrowse(): void {
    const headers: (readonly [string, string])[] = [
      ['destination', this.#destination],
      ['message-id', ''],
      ['browser', 'end'],
    ]
    if (this.id !== undefined) headers.unshift(['subscription', this.id])
    writeFrame(this.#host.output, Command.message, headers, this.#host.version)
    this.#host.output.endFrame()
  }
}

function hasExtra(delivery: Delivery): boolean {
  return delivery.deliveryCount > 0 || delivery.isRetained || delivery.message.annotations !== undefined
}

function withBlankLine(block: Uint8Array): Uint8Array {
  const head = new Uint8Array(block.length + 1)
  head.set(block)
  head[block.length] = lf
  return head
}
