import { connect, type Socket } from 'node:net'
import { Decoder } from '../protocols/stomp/decoder.ts'
import { writeConnect, writeSubscribe } from '../protocols/stomp/encoder.ts'
import { Command, type Frame, type FrameHandler, FrameScratch, type StompFault } from '../protocols/stomp/frame.ts'
import { Header } from '../protocols/stomp/headers.ts'
import { defaultFrameLimits } from '../protocols/stomp/limits.ts'
import { Output, type WireEvents } from '../src/transport/output.ts'
import { SlabPool } from '../src/transport/slab-pool.ts'
import { Turn } from '../src/turn.ts'
import { monotonicMs } from './monotonic.ts'

/** Bytes taken from a socket at a time. */
const readBytes = 256 * 1024
/** Unsent bytes above which a producer waits. */
const outputBytesHigh = 256 * 1024
const handshakeMsMax = 30_000

/** What all clients of one process share; a quiet one has no buffer of its own. */
export class ClientServices {
  readonly turn: Turn
  readonly slabs: SlabPool
  readonly scratch: FrameScratch
  readonly buffer: Buffer

  constructor() {
    this.turn = new Turn()
    this.slabs = new SlabPool()
    this.scratch = new FrameScratch()
    this.buffer = Buffer.allocUnsafeSlow(readBytes)
  }
}

/** What a client tells whoever uses it. */
export interface ClientEvents {
  onMessage(client: Client, frame: Frame): void
  onReceipt(client: Client): void
  /** All frames of one read have been told. */
  onRead(client: Client): void
  /** The output has room again. */
  onRoom(client: Client): void
  /** The server sent an ERROR or something that is no STOMP, or hung up. */
  onFailure(client: Client, reason: string): void
}

/** A STOMP 1.2 connection, on the project's own codec and output. */
export class Client implements FrameHandler, WireEvents {
  readonly number: number
  readonly output: Output
  /** When the bytes being read came in, monotonic milliseconds. */
  readAtMs: number
  readonly #socket: Socket
  readonly #decoder: Decoder
  readonly #events: ClientEvents
  /** Who waits for the answer to CONNECT or SUBSCRIBE. */
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  #isLeaving: boolean

  constructor(port: number, number: number, services: ClientServices, events: ClientEvents) {
    this.number = number
    this.readAtMs = 0
    this.#events = events
    this.#waiting = undefined
    this.#isLeaving = false
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

  async subscribe(destination: string, ack: string): Promise<void> {
    const headers = [
      ['id', '0'],
      ['destination', destination],
      ['ack', ack],
      ['receipt', 'subscribed'],
    ] as const
    writeSubscribe(this.output, headers, '1.2')
    await this.#answer()
  }

  /** Sends what is written and hangs up; resolves when the connection is closed. */
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
        this.#events.onMessage(this, frame)
        return
      case Command.receipt:
        if (this.#waiting === undefined) this.#events.onReceipt(this)
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
