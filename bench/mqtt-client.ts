import { connect, type Socket } from 'node:net'
import { Decoder, type PacketHandler } from '../protocols/mqtt/decoder.ts'
import { OutgoingPublish, writeAck, writePublish } from '../protocols/mqtt/encoder.ts'
import { type MqttFault, PacketType, packetName } from '../protocols/mqtt/packet.ts'
import { Output, type WireEvents } from '../src/transport/output.ts'
import {
  type ClientEvents,
  type ClientServices,
  type FlowClient,
  handshakeMsMax,
  outputBytesHigh,
} from './flow-client.ts'
import { monotonicMs } from './monotonic.ts'
import type { FlowPlan } from './plan.ts'

const packetBytesMax = 16 * 1024 * 1024
const qos1 = 2
const idMax = 65_535
const disconnect = Uint8Array.of(PacketType.disconnect << 4, 0)

/**
 * One MQTT 3.1.1 connection that publishes or subscribes with QoS 1, on the project's own codec and output. Of a persistent plan its
 * session is kept by the server.
 */
export class MqttClient implements FlowClient, PacketHandler, WireEvents {
  readonly number: number
  readonly output: Output
  readAtMs: number
  readonly #socket: Socket
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  readonly #publish: OutgoingPublish
  /** The packet that is waited for, and who waits. */
  #waiting: { readonly type: number; readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  #isLeaving: boolean
  /** Of the message that is being told. */
  #packetId: number

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.readAtMs = 0
    this.#events = events
    this.#publish = new OutgoingPublish()
    this.#waiting = undefined
    this.#isLeaving = false
    this.#packetId = 0
    this.#decoder = new Decoder(this, {
      packetBytesMax,
      connectBytesMax: packetBytesMax,
      clientIdBytesMax: 0,
      topicBytesMax: 0,
      topicLevelsMax: 0,
    })
    this.#decoder.isConnected = true
    const callback = (count: number, buffer: Uint8Array): boolean => {
      this.readAtMs = monotonicMs()
      this.#decoder.push(Buffer.from(buffer.buffer, buffer.byteOffset, count))
      this.#events.onRead(this)
      return true
    }
    const onread = { buffer: services.buffer, callback }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    this.#socket.on('error', (error) => this.#fail(error.message))
    this.#socket.on('close', () => this.#fail('the server hung up'))
    this.output = new Output(this.#socket, services.turn, services.slabs, outputBytesHigh, this)
  }

  get isHeld(): boolean {
    return this.output.isCongested
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
    this.#write((PacketType.subscribe << 4) | 2, Uint8Array.of(0, 1), text(topicOf(plan)), Uint8Array.of(1))
    await this.#answer(PacketType.suback)
  }

  send(sequence: number, body: Buffer): void {
    const publish = this.#publish
    publish.content = body
    writePublish(this.output, publish, qos1, ((sequence - 1) % idMax) + 1, 4)
  }

  acknowledge(): void {
    writeAck(this.output, PacketType.puback, this.#packetId, 0, 4)
  }

  async leave(): Promise<void> {
    if (this.#socket.closed) return
    const closed = new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve())
    })
    this.#isLeaving = true
    this.output.write(disconnect)
    this.output.end()
    const timer = setTimeout(() => this.#socket.destroy(), handshakeMsMax)
    await closed
    clearTimeout(timer)
  }

  onPacket(first: number, bytes: Buffer, start: number, end: number): void {
    const type = first >> 4
    if (type === PacketType.puback) this.#events.onReceipts(this, 1)
    else if (type === PacketType.publish) {
      const idStart = start + 2 + bytes.readUInt16BE(start)
      this.#packetId = bytes.readUInt16BE(idStart)
      this.#events.onMessage(this, bytes, idStart + 2, end - idStart - 2)
    } else if (type !== this.#waiting?.type) this.#fail(`an unexpected ${packetName(type)}`)
    // The return code of a CONNACK and of the one filter of a SUBACK comes last.
    else if ((bytes[end - 1] as number) > 1) this.#fail(`${packetName(type)} with the code ${bytes[end - 1]}`)
    else this.#waiting.resolve()
  }

  onError(fault: MqttFault): void {
    this.#fail(`no MQTT: ${fault.sentence}`)
  }

  congested(): void {
    // Seen in output.isCongested.
  }

  drained(): void {
    this.#events.onRoom(this)
  }

  async #open({ isPersistent, run }: FlowPlan, role: string): Promise<void> {
    const flags = isPersistent ? 0 : 2
    const head = Uint8Array.of(0, 4, 0x4d, 0x51, 0x54, 0x54, 4, flags, 0, 0)
    this.#write(PacketType.connect << 4, head, text(`bench-${run}-${role}${this.number}`))
    await this.#answer(PacketType.connack)
  }

  /** Writes a short packet. */
  #write(first: number, ...parts: readonly Uint8Array[]): void {
    const rest = Buffer.concat(parts)
    this.output.write(Buffer.concat([Uint8Array.of(first, rest.length), rest]))
  }

  #answer(type: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the server does not answer')), handshakeMsMax)
      const end = (): void => {
        clearTimeout(timer)
        this.#waiting = undefined
      }
      this.#waiting = {
        type,
        resolve: () => {
          end()
          resolve()
        },
        reject: (error) => {
          end()
          reject(error)
        },
      }
    })
  }

  #fail(reason: string): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#decoder.close()
    if (this.#waiting === undefined) this.#events.onFailure(this, reason)
    else this.#waiting.reject(new Error(reason))
    this.#socket.destroy()
  }
}

/** A string with its length (1.5.3). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes])
}

/** `/topic/bench.1f` is `bench/1f`. */
function topicOf({ destination }: FlowPlan): string {
  return destination.replace(/^\/\w+\//, '').replaceAll('.', '/')
}
