import {
  text,
  writeConnect,
  writeGoodbye,
  writePingRequest,
  writeSubscribe,
} from '../../../protocols/mqtt/client-packets.ts'
import { OutgoingPublish, writeAck, writePublish } from '../../../protocols/mqtt/encoder.ts'
import { PacketType, Reason } from '../../../protocols/mqtt/packet.ts'
import { Properties, Property } from '../../../protocols/mqtt/properties.ts'
import { Reader } from '../../../protocols/mqtt/reader.ts'
import { CommandError } from '../failure.ts'
import type { Approach, CommandClient, Intake, Outgoing, Wanted } from './client.ts'
import { Ending } from './ending.ts'
import { MqttLink } from './mqtt-link.ts'
import { filterOf, publishProperties, receivedOf, selectorProperties, topicOf } from './mqtt-messages.ts'
import { connectMsMax, endedByBroker, lost, notConnected, notLetIn, placeOf, refused } from './place.ts'

const level = 5
const keepAliveSeconds = 60
const packetIdMax = 65_535
/** What a server that says nothing takes (3.2.2.3.3). */
const receiveMaximumDefault = 65_535

interface Waiting {
  readonly message: Outgoing
  readonly onConfirmed: () => void
}

/** A connection over MQTT 5. Messages that are to be kept on disk go with QoS 1, others with QoS 0, which only a ping confirms. */
export class MqttClient implements CommandClient {
  readonly #url: string
  readonly #ending: Ending
  readonly #link: MqttLink
  readonly #properties: Properties
  readonly #publish: OutgoingPublish
  /** Of QoS 1, by packet identifier. */
  readonly #unconfirmed: Map<number, () => void>
  /** Of QoS 1, while the server takes no more. */
  readonly #waiting: Waiting[]
  /** Of QoS 0, since the last ping. */
  #uncertain: (() => void)[]
  /** For each ping that has not been answered: what its answer confirms. */
  readonly #pings: (readonly (() => void)[])[]
  /** One for all subscriptions: nothing in a PUBLISH says which of them it is for. */
  #intake: Intake | undefined
  #receiveMax: number
  #lastId: number
  #beat: NodeJS.Timeout | undefined
  #onOpen: (error?: CommandError) => void
  #onClosed: () => void

  private constructor(approach: Approach) {
    const place = placeOf(approach, 'mqtt')
    this.#url = approach.url
    this.#ending = new Ending()
    this.#properties = new Properties()
    this.#publish = new OutgoingPublish()
    this.#unconfirmed = new Map()
    this.#waiting = []
    this.#uncertain = []
    this.#pings = []
    this.#intake = undefined
    this.#receiveMax = receiveMaximumDefault
    this.#lastId = 0
    this.#beat = undefined
    this.#onOpen = () => undefined
    this.#onClosed = () => undefined
    this.#link = new MqttLink(
      place,
      {
        packet: (first, bytes, start, end) => this.#packet(first, bytes, start, end),
        closed: (error) => this.#closed(error),
      },
      () => this.#askAboutUncertain(),
    )
  }

  static connect(approach: Approach): Promise<MqttClient> {
    const client = new MqttClient(approach)
    return new Promise((resolve, reject) => {
      const late = (): void => {
        client.#onOpen(notConnected({ message: `no answer for ${connectMsMax} ms` }, approach.url))
      }
      const timer = setTimeout(late, connectMsMax)
      client.#onOpen = (error) => {
        clearTimeout(timer)
        client.#onOpen = () => undefined
        if (error === undefined) resolve(client)
        else {
          client.destroy()
          reject(error)
        }
      }
      client.#connect(approach)
    })
  }

  get failed(): Promise<never> {
    return this.#ending.failed
  }

  send(message: Outgoing, onConfirmed: () => void): void {
    if (message.persistent && this.#unconfirmed.size >= this.#receiveMax) this.#waiting.push({ message, onConfirmed })
    else this.#send(message, onConfirmed)
  }

  subscribe({ destination, selector, browses, settles }: Wanted, intake: Intake): void {
    if (browses === true) {
      throw new CommandError('MQTT cannot show messages without taking them; --protocol native, stomp or amqp can')
    }
    this.#intake = intake
    writeSubscribe(this.#link, this.#nextId(), filterOf(destination), settles ? 1 : 0, selectorProperties(selector))
  }

  /** Servers deal with packets in their order: once they answer a ping, they have done all that was before it. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#ping([resolve])
      this.#onClosed = resolve
    })
    this.#ending.isExpected = true
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve
      writeGoodbye(this.#link)
      this.#link.end()
    })
  }

  destroy(): void {
    this.#ending.isExpected = true
    this.#link.destroy()
  }

  #connect(approach: Approach): void {
    const { user, password } = placeOf(approach, 'mqtt')
    const { prefetch, clientId = '' } = approach
    const properties = Buffer.from([Property.receiveMaximum, prefetch >> 8, prefetch & 255])
    writeConnect(this.#link, { clientId, user, password, keepAliveSeconds, properties })
  }

  #send(message: Outgoing, onConfirmed: () => void): void {
    const publish = this.#publish
    publish.topic = text(topicOf(message.destination))
    publish.extra = publishProperties(message)
    publish.content = message.body
    const retain = message.retain === true ? 1 : 0
    if (message.persistent) {
      const id = this.#nextId()
      this.#unconfirmed.set(id, onConfirmed)
      writePublish(this.#link, publish, 2 | retain, id, level)
    } else {
      this.#uncertain.push(onConfirmed)
      writePublish(this.#link, publish, retain, 0, level)
    }
  }

  #nextId(): number {
    do this.#lastId = this.#lastId === packetIdMax ? 1 : this.#lastId + 1
    while (this.#unconfirmed.has(this.#lastId))
    return this.#lastId
  }

  #askAboutUncertain(): void {
    if (this.#uncertain.length === 0) return
    const uncertain = this.#uncertain
    this.#uncertain = []
    this.#ping(uncertain)
  }

  #ping(confirms: readonly (() => void)[]): void {
    this.#pings.push(confirms)
    writePingRequest(this.#link)
  }

  #packet(first: number, bytes: Buffer, start: number, end: number): void {
    const reader = new Reader(bytes, start, end)
    switch (first >> 4) {
      case PacketType.connack:
        this.#connack(reader)
        return
      case PacketType.publish:
        this.#received(first, reader)
        return
      case PacketType.puback:
        this.#puback(reader)
        return
      case PacketType.suback:
        this.#suback(reader)
        return
      case PacketType.pingresp:
        for (const confirm of this.#pings.shift() ?? []) confirm()
        return
      case PacketType.disconnect:
        this.#fail(endedByBroker(this.#reason(reader, PacketType.disconnect).sentence))
        return
    }
  }

  #connack(reader: Reader): void {
    reader.byte()
    const { code, sentence } = this.#reason(reader, PacketType.connack)
    if (code !== Reason.success) {
      this.#onOpen(notLetIn(sentence, this.#url))
      return
    }
    this.#receiveMax = this.#properties.number(Property.receiveMaximum, receiveMaximumDefault)
    const seconds = this.#properties.number(Property.serverKeepAlive, keepAliveSeconds)
    // Twice as often as it must be: [MQTT-3.1.2-22] ends connections after one and a half.
    if (seconds > 0) this.#beat = setInterval(() => this.#ping([]), seconds * 500).unref()
    this.#onOpen()
  }

  #received(first: number, reader: Reader): void {
    const qos = (first >> 1) & 3
    const topic = reader.text()
    const id = qos > 0 ? reader.short() : 0
    const properties = this.#properties
    const fault = reader.fault ?? properties.read(reader.bytes, reader.at, reader.end, PacketType.publish)
    if (fault !== undefined) {
      this.#fail(lost(`a PUBLISH that cannot be read: ${fault.sentence}`, this.#url))
      return
    }
    const body = Buffer.from(reader.bytes.subarray(properties.end, reader.end))
    const accept = (): void => {
      if (qos > 0) writeAck(this.#link, PacketType.puback, id, Reason.success, level)
    }
    this.#intake?.message(receivedOf({ first, topic, properties, body, accept }))
  }

  #puback(reader: Reader): void {
    const id = reader.short()
    const { code, sentence } = this.#reason(reader, PacketType.puback)
    const onConfirmed = this.#unconfirmed.get(id)
    this.#unconfirmed.delete(id)
    if (code >= Reason.unspecified) this.#fail(refused(sentence))
    else onConfirmed?.()
    const next = this.#waiting.shift()
    if (next !== undefined) this.#send(next.message, next.onConfirmed)
  }

  #suback(reader: Reader): void {
    reader.short()
    const fault = this.#properties.read(reader.bytes, reader.at, reader.end, PacketType.suback)
    reader.at = this.#properties.end
    const code = reader.byte()
    if (fault !== undefined || code >= Reason.unspecified) this.#fail(refused(this.#sentence(code)))
  }

  /** Reads a reason code and the properties behind it; either may be left out. */
  #reason(reader: Reader, packet: number): { readonly code: number; readonly sentence: string } {
    this.#properties.clear()
    const code = reader.isAtEnd ? Reason.success : reader.byte()
    if (!reader.isAtEnd) this.#properties.read(reader.bytes, reader.at, reader.end, packet)
    return { code, sentence: this.#sentence(code) }
  }

  #sentence(code: number): string {
    const name = Object.entries(Reason).find(([, value]) => value === code)?.[0]
    const words = name?.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`) ?? `reason code ${code}`
    return this.#properties.text(Property.reasonString) ?? words
  }

  #fail(error: CommandError): void {
    this.#ending.fail(error)
  }

  #closed(error: { readonly code?: string; readonly message: string }): void {
    clearInterval(this.#beat)
    this.#onOpen(notConnected(error, this.#url))
    this.#fail(lost(error.message, this.#url))
    this.#onClosed()
  }
}
