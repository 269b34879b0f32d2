import { connect, type Socket } from 'node:net'
import { Output, type WireEvents } from '../src/transport/output.ts'
import { type ClientEvents, type ClientServices, type FlowClient, handshakeMsMax } from './flow-client.ts'
import { monotonicMs } from './monotonic.ts'

/** Unsent bytes above which a producer waits. */
const outputBytesHigh = 256 * 1024

/** Whose wire it is, who is told what happens to it, and what reads its bytes, which may be written over afterwards. */
export interface WireOwner {
  readonly client: FlowClient
  readonly events: ClientEvents
  readonly decoder: { push(bytes: Buffer): void; close(): void }
}

/** What the client has begun with, as its protocol numbers it, and who waits for the answer. */
interface Waiting {
  readonly what: number
  resolve(): void
  reject(error: Error): void
}

/** The socket of one client, and the answers of the handshake that it waits for. */
export class ClientWire implements WireEvents {
  readonly output: Output
  /** When the bytes being read came in, monotonic milliseconds. */
  readAtMs: number
  readonly #owner: WireOwner
  readonly #socket: Socket
  #waiting: Waiting | undefined
  #isLeaving: boolean

  constructor(port: number, services: ClientServices, owner: WireOwner) {
    this.readAtMs = 0
    this.#owner = owner
    this.#waiting = undefined
    this.#isLeaving = false
    const callback = (count: number, buffer: Uint8Array): boolean => {
      this.readAtMs = monotonicMs()
      owner.decoder.push(Buffer.from(buffer.buffer, buffer.byteOffset, count))
      owner.events.onRead(owner.client)
      return true
    }
    const onread = { buffer: services.buffer, callback }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread })
    this.#socket.on('error', (error) => this.fail(error.message))
    this.#socket.on('close', () => this.fail('the server hung up'))
    this.output = new Output(this.#socket, services.turn, services.slabs, outputBytesHigh, this)
  }

  /** What is waited for; undefined: nothing. */
  get awaited(): number | undefined {
    return this.#waiting?.what
  }

  /** Resolves when {@link answered} is called; rejects when the connection fails before, or nothing comes. */
  answer(what: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the server does not answer')), handshakeMsMax)
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        this.#waiting = undefined
        act()
      }
      this.#waiting = { what, resolve: () => settle(resolve), reject: (error) => settle(() => reject(error)) }
    })
  }

  answered(): void {
    this.#waiting?.resolve()
  }

  /** The server sent an error or something that is none of its protocol, or hung up. */
  fail(reason: string): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    const { client, decoder, events } = this.#owner
    decoder.close()
    if (this.#waiting === undefined) events.onFailure(client, reason)
    else this.#waiting.reject(new Error(reason))
    this.#socket.destroy()
  }

  /** Sends what is written, at last what `goodbye` writes, and hangs up; resolves when the connection is closed. */
  async leave(goodbye?: () => void): Promise<void> {
    const isThere = !this.#isLeaving
    this.#isLeaving = true
    if (this.#socket.closed) return
    const closed = new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve())
    })
    if (isThere) {
      goodbye?.()
      this.output.end()
    }
    const timer = setTimeout(() => this.#socket.destroy(), handshakeMsMax)
    await closed
    clearTimeout(timer)
  }

  congested(): void {
    // Seen in output.isCongested.
  }

  drained(): void {
    this.#owner.events.onRoom(this.#owner.client)
  }
}
