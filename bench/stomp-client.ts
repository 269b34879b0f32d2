import { connect, type Socket } from 'node:net'
import { Decoder } from '../protocols/stomp/decoder.ts'
import { frameHead, writeAck, writeConnect, writeSend, writeSubscribe } from '../protocols/stomp/encoder.ts'
import { Command, type Frame, type FrameHandler, type StompFault } from '../protocols/stomp/frame.ts'
import { Header } from '../protocols/stomp/headers.ts'
import { defaultFrameLimits } from '../protocols/stomp/limits.ts'
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

const ackHead = Buffer.from('ACK\nid:')

/** A STOMP 1.2 connection, on the project's own codec and output. */
export class StompClient implements FlowClient, FrameHandler, WireEvents {
  readonly number: number
  readonly output: Output
  readAtMs: number
  readonly #socket: Socket
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  /** Who waits for the answer to CONNECT or SUBSCRIBE. */
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  #isLeaving: boolean
  #sendHead: Buffer
  /** The MESSAGE that is being told. */
  #message: Frame | undefined

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.readAtMs = 0
    this.#events = events
    this.#waiting = undefined
    this.#isLeaving = false
    this.#sendHead = Buffer.alloc(0)
    this.#message = undefined
    this.#decoder = new Decoder(this, defaultFrameLimits, services.scratch)
    const callback = (count: number, buffer: Uint8Array): boolean => {
      this.#read(buffer.subarray(0, count))
      return true
    }
    const onread = { buffer: services.buffer, callback }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    this.#socket.on('error', (error) => this.#fail(error.message))
    this.#socket.on('close', () => this.#fail('the server hung up'))
    this.output = new Output(this.#socket, services.turn, services.slabs, outputBytesHigh, this)
  }

  async connect(): Promise<void> {
    writeConnect(this.output, [
      ['accept-version', '1.2'],
      ['host', 'bench'],
    ])
    await this.#answer()
  }

  get isHeld(): boolean {
    return this.output.isCongested
  }

  publish({ destination, isPersistent }: FlowPlan): Promise<void> {
    const headers: [string, string][] = [['destination', destination]]
    if (isPersistent) headers.push(['persistent', 'true'])
    this.#sendHead = frameHead(Command.send, headers, '1.2')
    return Promise.resolve()
  }

  send(sequence: number, body: Buffer): void {
    writeSend(this.output, this.#sendHead, sequence, body)
  }

  acknowledge(): void {
    const frame = this.#message
    if (frame === undefined) return
    writeAck(this.output, ackHead, frame.bytes, frame.valueStart(Header.ack), frame.valueEnd(Header.ack))
  }

  async subscribe({ destination, ack }: FlowPlan): Promise<void> {
    const headers = [
      ['id', '0'],
      ['destination', destination],
      ['ack', ack],
      ['receipt', 'subscribed'],
    ] as const
    writeSubscribe(this.output, headers, '1.2')
    await this.#answer()
  }

  async leave(): Promise<void> {
    this.#isLeaving = true
    if (this.#socket.closed) return
    const closed = new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve())
    })
    this.output.end()
    const timer = setTimeout(() => this.#socket.destroy(), handshakeMsMax)
    await closed
    clearTimeout(timer)
  }

  onFrame(frame: Frame): void {
    switch (frame.command) {
      case Command.message:
        this.#message = frame
        this.#events.onMessage(this, frame.bytes, frame.bodyStart, frame.bodyEnd - frame.bodyStart)
        return
      case Command.receipt:
        if (this.#waiting === undefined) this.#events.onReceipts(this, 1)
        else this.#answered()
        return
      case Command.connected:
        this.#decoder.version = '1.2'
        this.#answered()
        return
      default:
        this.#fail(`${frame.commandName}: ${frame.text(Header.message) ?? ''}`)
    }
  }

  onHeartBeat(): void {
    // Every server's frame ends in an end-of-line.
  }

  onError(fault: StompFault): void {
    this.#fail(`no STOMP: ${fault.sentence}`)
  }

  congested(): void {
    // Seen in output.isCongested.
  }

  drained(): void {
    this.#events.onRoom(this)
  }

  #read(bytes: Uint8Array): void {
    this.readAtMs = monotonicMs()
    this.#decoder.push(bytes)
    this.#events.onRead(this)
  }

  #answer(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the server does not answer')), handshakeMsMax)
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting = undefined
      }
      this.#waiting = {
        resolve: () => {
          done()
          resolve()
        },
        reject: (error) => {
          done()
          reject(error)
        },
      }
    })
  }

  #answered(): void {
    this.#waiting?.resolve()
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
