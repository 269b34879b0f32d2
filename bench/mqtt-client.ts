import { text, writeGoodbye } from '../protocols/mqtt/client-packets.ts'
import { Decoder, type PacketHandler } from '../protocols/mqtt/decoder.ts'
import { idBytes, OutgoingPublish, writeAck, writePacket, writePublish } from '../protocols/mqtt/encoder.ts'
import { type MqttFault, PacketType, packetName } from '../protocols/mqtt/packet.ts'
import { ClientWire } from './client-wire.ts'
import type { ClientEvents, ClientServices, FlowClient } from './flow-client.ts'
import type { FlowPlan } from './plan.ts'

const packetBytesMax = 16 * 1024 * 1024
const qos1 = 2
const idMax = 65_535

/**
 * One MQTT 3.1.1 connection that publishes or subscribes with QoS 1, on the project's own codec and output. Of a persistent plan its
 * session is kept by the server.
 */
export class MqttClient implements FlowClient, PacketHandler {
  readonly number: number
  readonly #wire: ClientWire
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  readonly #publish: OutgoingPublish
  /** Of the message that is being told. */
  #packetId: number

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.#events = events
    this.#publish = new OutgoingPublish()
    this.#packetId = 0
    this.#decoder = new Decoder(this, {
      packetBytesMax,
      connectBytesMax: packetBytesMax,
      clientIdBytesMax: 0,
      topicBytesMax: 0,
      topicLevelsMax: 0,
    })
    this.#decoder.isConnected = true
    this.#wire = new ClientWire(port, services, { client: this, events, decoder: this.#decoder })
  }

  get readAtMs(): number {
    return this.#wire.readAtMs
  }

  get isHeld(): boolean {
    return this.#wire.output.isCongested
  }

  /** The CONNECT follows when the plan is known, which says whether the session is kept. */
  connect(): Promise<void> {
    return Promise.resolve()
  }

  async publish(plan: FlowPlan): Promise<void> {
    await this.#open(plan, 'p')
    this.#publish.topic = text(topicOf(plan))
  }

  async subscribe(plan: FlowPlan): Promise<void> {
    await this.#open(plan, 'c')
    writePacket(this.#wire.output, (PacketType.subscribe << 4) | 2, [idBytes(1), text(topicOf(plan)), Uint8Array.of(1)])
    await this.#wire.answer(PacketType.suback)
  }

  send(sequence: number, body: Buffer): void {
    const publish = this.#publish
    publish.content = body
    writePublish(this.#wire.output, publish, qos1, ((sequence - 1) % idMax) + 1, 4)
  }

  acknowledge(): void {
    writeAck(this.#wire.output, PacketType.puback, this.#packetId, 0, 4)
  }

  leave(): Promise<void> {
    return this.#wire.leave(() => writeGoodbye(this.#wire.output))
  }

  onPacket(first: number, bytes: Buffer, start: number, end: number): void {
    const type = first >> 4
    if (type === PacketType.puback) this.#events.onReceipts(this, 1)
    else if (type === PacketType.publish) {
      const idStart = start + 2 + bytes.readUInt16BE(start)
      this.#packetId = bytes.readUInt16BE(idStart)
      this.#events.onMessage(this, bytes, idStart + 2, end - idStart - 2)
    } else if (type !== this.#wire.awaited) this.#wire.fail(`an unexpected ${packetName(type)}`)
    // The return code of a CONNACK and of the one filter of a SUBACK comes last.
    else if ((bytes[end - 1] as number) > 1) this.#wire.fail(`${packetName(type)} with the code ${bytes[end - 1]}`)
    else this.#wire.answered()
  }

  onError(fault: MqttFault): void {
    this.#wire.fail(`no MQTT: ${fault.sentence}`)
  }

  async #open({ isPersistent, run }: FlowPlan, role: string): Promise<void> {
    const flags = isPersistent ? 0 : 2
    const head = Uint8Array.of(0, 4, 0x4d, 0x51, 0x54, 0x54, 4, flags, 0, 0)
    writePacket(this.#wire.output, PacketType.connect << 4, [head, text(`bench-${run}-${role}${this.number}`)])
    await this.#wire.answer(PacketType.connack)
  }
}

/** `/topic/bench.1f` is `bench/1f`. */
function topicOf({ destination }: FlowPlan): string {
  return destination.replace(/^\/\w+\//, '').replaceAll('.', '/')
}
