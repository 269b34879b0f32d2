import type { Address, Broker, Message } from '../../src/core.ts'
import type { ConnectRequest } from './connect.ts'
import { contentOf } from './content.ts'
import { type ByteSink, OutgoingPublish, publishBytes, writePublish } from './encoder.ts'
import type { Level } from './packet.ts'
import { Property, PropertyWriter } from './properties.ts'
import { writeTopicName } from './topics.ts'

/** Topics whose names are kept encoded. */
const topicsKept = 16_384
const emptyTopic = Buffer.alloc(2)
const noBytes = Buffer.alloc(0)

/** What is encoded once for all receivers: topic names, and the message that was sent last. */
export class Encoded {
  readonly publish: OutgoingPublish
  /** The topic name of that message, with its length. */
  topic: Uint8Array
  #message: Message | undefined
  #address: Address | undefined
  readonly #topics: Map<string, Uint8Array>

  constructor() {
    this.publish = new OutgoingPublish()
    this.topic = emptyTopic
    this.#message = undefined
    this.#address = undefined
    this.#topics = new Map()
  }

  /** Sets `publish` and `topic` for a message. */
  prepare(message: Message): void {
    if (message === this.#message) return
    this.#message = message
    const { publish } = this
    const { content, propertiesStart, payloadStart } = contentOf(message)
    publish.content = content
    publish.propertiesStart = propertiesStart
    publish.payloadStart = payloadStart
    if (message.address === this.#address) return
    this.#address = message.address
    this.topic = this.#topicOf(message.address)
  }

  #topicOf(address: Address): Uint8Array {
    const key = address.toString()
    const found = this.#topics.get(key)
    if (found !== undefined) return found
    if (this.#topics.size >= topicsKept) this.#topics.clear()
    const name = Buffer.from(writeTopicName(address))
    const bytes = Buffer.concat([Uint8Array.of(name.length >> 8, name.length & 255), name])
    this.#topics.set(key, bytes)
    return bytes
  }
}

/** Writes PUBLISH packets to one client as that can take them. */
export class Sender {
  readonly #sink: ByteSink
  readonly #encoded: Encoded
  readonly #level: Level
  readonly #packetBytesMax: number
  readonly #aliasMax: number
  readonly #clock: Broker['clock']
  #aliases: Map<Uint8Array, number> | undefined

  constructor(
    sink: ByteSink,
    encoded: Encoded,
    request: ConnectRequest,
    how: { aliasMax: number; clock: Broker['clock'] },
  ) {
    this.#sink = sink
    this.#encoded = encoded
    this.#level = request.level
    this.#packetBytesMax = request.packetBytesMax
    this.#aliasMax = Math.min(request.topicAliasMaximum, how.aliasMax)
    this.#clock = how.clock
    this.#aliases = undefined
  }

  /** False if the packet is larger than the client takes: it is not sent [MQTT-3.1.2-24]. */
  send(message: Message, flags: number, id: number, subscriptionIds: readonly number[]): boolean {
    const encoded = this.#encoded
    encoded.prepare(message)
    const { publish } = encoded
    publish.topic = encoded.topic
    publish.extra = noBytes
    if (this.#level === 5) {
      const hasExtra = message.expiresAt > 0 || subscriptionIds.length > 0
      if (hasExtra || this.#aliasMax > 0) return this.#sendExtra(message, flags, id, subscriptionIds)
      if (!this.#fits(flags)) return false
    }
    writePublish(this.#sink, publish, flags, id, this.#level)
    return true
  }

  #sendExtra(message: Message, flags: number, id: number, ids: readonly number[]): boolean {
    const { publish, topic } = this.#encoded
    const writer = new PropertyWriter()
    // [MQTT-3.3.2-6]: what is left of it, in seconds begun.
    if (message.expiresAt > 0) {
      const left = Math.ceil((message.expiresAt - this.#clock.now()) / 1000)
      writer.long(Property.messageExpiry, Math.min(Math.max(left, 0), 0xffff_ffff))
    }
    for (const each of ids) writer.varint(Property.subscriptionId, each)
    const known = this.#aliases?.get(topic)
    const alias = known ?? this.#freeAlias()
    if (alias > 0) writer.short(Property.topicAlias, alias)
    if (known !== undefined) publish.topic = emptyTopic
    publish.extra = writer.bytes
    if (!this.#fits(flags)) return false
    if (known === undefined && alias > 0) {
      this.#aliases ??= new Map()
      this.#aliases.set(topic, alias)
    }
    writePublish(this.#sink, publish, flags, id, this.#level)
    return true
  }

  /** The next alias that names no topic yet; 0 if the client takes no more. */
  #freeAlias(): number {
    const used = this.#aliases?.size ?? 0
    return used < this.#aliasMax ? used + 1 : 0
  }

  #fits(flags: number): boolean {
    return publishBytes(this.#encoded.publish, (flags >> 1) & 3, this.#level) <= this.#packetBytesMax
  }
}
