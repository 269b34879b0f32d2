import { Duplex } from 'node:stream'
import type { Timer } from '../clock.ts'
import { BrokerError } from '../errors.ts'
import { CloseCode, closeFrame, controlFrame, Opcode } from './websocket-frame.ts'
import { WebSocketReader } from './websocket-reader.ts'
import { WebSocketWriter } from './websocket-writer.ts'
import type { WireServices } from './wire.ts'

/** Data the adapter has not taken, above which no more is read from the peer. */
const unreadBytesMax = 64 * 1024
/** How long a peer may take to hang up once both have said that they will. */
const hangUpMsMax = 5_000

/** The data of one WebSocket (RFC 6455) as a stream of bytes. Answers pings and closes as it should by itself. */
export class WebSocketStream extends Duplex {
  readonly #socket: Duplex
  readonly #services: WireServices
  readonly #reader: WebSocketReader
  readonly #writer: WebSocketWriter
  /** Since the last probe, and whether that was a ping. */
  #hasHeard: boolean
  #isAsked: boolean
  #isPongUnsent: boolean
  /** The close frame is sent; what still comes is not handed on. */
  #isClosing: boolean
  #closeCode: number
  #hangUp: Timer | undefined

  /** `marks`: see {@link WebSocketWriter}; `takesText`: see {@link WebSocketReader}. */
  constructor(socket: Duplex, services: WireServices, { marks, takesText }: { marks: number[]; takesText: boolean }) {
    super({ allowHalfOpen: false, autoDestroy: false, readableHighWaterMark: unreadBytesMax })
    this.#socket = socket
    this.#services = services
    this.#reader = new WebSocketReader(takesText)
    this.#writer = new WebSocketWriter(socket, services.slabs, marks)
    this.#hasHeard = true
    this.#isAsked = false
    this.#isPongUnsent = false
    this.#isClosing = false
    this.#closeCode = CloseCode.normal
    this.#hangUp = undefined
    this.on('error', ignore)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('end', () => this.push(null))
    socket.on('close', () => this.destroy(socket.errored ?? undefined))
  }

  /** Bytes sent to the peer since the handshake. */
  get sentBytes(): number {
    return this.#writer.sentBytes
  }

  /** From now on an end of this side is told to be the end of the server (§7.4.1). */
  leave(): void {
    this.#closeCode = CloseCode.goingAway
  }

  /** Asks a peer that has been silent since the last call whether it is there; cuts one that has not answered then. */
  probe(silentMs: number): void {
    if (this.#hasHeard || this.#socket.isPaused() || this.#isClosing) {
      this.#hasHeard = false
      this.#isAsked = false
    } else if (this.#isAsked) {
      this.destroy(new BrokerError('timed-out', `the peer has not answered a ping for ${silentMs} ms (pingMs)`))
    } else {
      this.#isAsked = true
      this.#socket.write(controlFrame(Opcode.ping, Buffer.alloc(0)))
    }
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#writer.write([chunk], this.#reader.isText, done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const bytes = chunks.map(({ chunk }) => chunk)
    this.#writer.write(bytes, this.#reader.isText, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#close(this.#reader.ending?.code ?? this.#closeCode, '')
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const socket = this.#socket
    // The peer of a connection that is being closed in order gets its time to read why.
    if (socket.closed || this.#isClosing) done(error)
    else {
      this.#isClosing = true
      socket.once('close', () => done(error))
      socket.destroy(error ?? undefined)
    }
  }

  #read(chunk: Buffer): void {
    this.#hasHeard = true
    const reader = this.#reader
    if (reader.ending !== undefined) return
    const data = reader.push(chunk)
    if (data.length > 0 && !this.#isClosing && !this.push(data)) this.#socket.pause()
    if (reader.ping !== undefined) this.#answerPing()
    this.#heed()
  }

  /** §5.5.1, §7.1.7: answers a close frame, once what came before it is read, and closes after a fault. */
  #heed(): void {
    const { ending } = this.#reader
    if (ending === undefined) return
    if (this.#isClosing) this.#socket.end()
    else if (ending.fault === undefined) this.push(null)
    else {
      this.#close(ending.code, ending.fault)
      this.destroy(new BrokerError('protocol-error', `no WebSocket: ${ending.fault}`))
    }
  }

  /** Sends a close frame, and gives the peer some time to hang up. */
  #close(code: number, reason: string): void {
    if (this.#isClosing) return
    this.#isClosing = true
    const socket = this.#socket
    if (!socket.writable) return
    socket.write(closeFrame(code, reason), () => {
      if (socket.closed) return
      this.#hangUp = this.#services.clock.after(hangUpMsMax, () => socket.destroy())
      socket.once('close', () => this.#hangUp?.cancel())
    })
    if (this.#reader.ending !== undefined) socket.end()
    socket.resume()
  }

  #answerPing(): void {
    const { ping } = this.#reader
    if (ping === undefined || this.#isPongUnsent || this.#isClosing) return
    this.#reader.ping = undefined
    this.#isPongUnsent = true
    this.#socket.write(controlFrame(Opcode.pong, ping), () => {
      this.#isPongUnsent = false
      this.#answerPing()
    })
  }
}

function ignore(): void {
  // 'close' follows.
}
