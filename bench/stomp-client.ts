import { Decoder } from '../protocols/stomp/decoder.ts'
import { frameHead, writeAck, writeConnect, writeSend, writeSubscribe } from '../protocols/stomp/encoder.ts'
import { Command, type Frame, type FrameHandler, type StompFault } from '../protocols/stomp/frame.ts'
import { Header } from '../protocols/stomp/headers.ts'
import { defaultFrameLimits } from '../protocols/stomp/limits.ts'
import { ClientWire } from './client-wire.ts'
import type { ClientEvents, ClientServices, FlowClient } from './flow-client.ts'
import type { FlowPlan } from './plan.ts'

const ackHead = Buffer.from('ACK\nid:')

/** A STOMP 1.2 connection, on the project's own codec and output. */
export class StompClient implements FlowClient, FrameHandler {
  readonly number: number
  readonly #wire: ClientWire
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  #sendHead: Buffer
  /** The MESSAGE that is being told. */
  #message: Frame | undefined

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.#events = events
    this.#sendHead = Buffer.alloc(0)
    this.#message = undefined
    this.#decoder = new Decoder(this, defaultFrameLimits, services.scratch)
    this.#wire = new ClientWire(port, services, { client: this, events, decoder: this.#decoder })
  }

  async connect(): Promise<void> {
    writeConnect(this.#wire.output, [
      ['accept-version', '1.2'],
      ['host', 'bench'],
    ])
    await this.#wire.answer(Command.connected)
  }

  get readAtMs(): number {
    return this.#wire.readAtMs
  }

  get isHeld(): boolean {
    return this.#wire.output.isCongested
  }

  publish({ destination, isPersistent }: FlowPlan): Promise<void> {
    const headers: [string, string][] = [['destination', destination]]
    if (isPersistent) headers.push(['persistent', 'true'])
    this.#sendHead = frameHead(Command.send, headers, '1.2')
    return Promise.resolve()
  }

  send(sequence: number, body: Buffer): void {
    writeSend(this.#wire.output, this.#sendHead, sequence, body)
  }

  acknowledge(): void {
    const frame = this.#message
    if (frame === undefined) return
    writeAck(this.#wire.output, ackHead, frame.bytes, frame.valueStart(Header.ack), frame.valueEnd(Header.ack))
  }

  async subscribe({ destination, ack }: FlowPlan): Promise<void> {
    const headers = [
      ['id', '0'],
      ['destination', destination],
      ['ack', ack],
      ['receipt', 'subscribed'],
    ] as const
    writeSubscribe(this.#wire.output, headers, '1.2')
    await this.#wire.answer(Command.receipt)
  }

  leave(): Promise<void> {
    return this.#wire.leave()
  }

  onFrame(frame: Frame): void {
    switch (frame.command) {
      case Command.message:
        this.#message = frame
        this.#events.onMessage(this, frame.bytes, frame.bodyStart, frame.bodyEnd - frame.bodyStart)
        return
      case Command.receipt:
        if (this.#wire.awaited === undefined) this.#events.onReceipts(this, 1)
        else this.#wire.answered()
        return
      case Command.connected:
        this.#decoder.version = '1.2'
        this.#wire.answered()
        return
      default:
        this.#wire.fail(`${frame.commandName}: ${frame.text(Header.message) ?? ''}`)
    }
  }

  onHeartBeat(): void {
    // Every server's frame ends in an end-of-line.
  }

  onError(fault: StompFault): void {
    this.#wire.fail(`no STOMP: ${fault.sentence}`)
  }
}
